import { expect, test } from "vitest";
import { levelOf, numberFormat } from "@/lib/format/numbers";

const { count, number, percent } = numberFormat("en");

test("levels turn amber above 70 and red above 90", () => {
  expect([70, 70.1, 90, 90.1].map(levelOf)).toEqual(["normal", "warn", "warn", "bad"]);
});

test("numbers of any unit have four digits at any size", () => {
  expect([0, -0.5, 1.23456, 9_876.5, 123_456, 1_796_000_000].map(number)).toEqual([
    "0",
    "-0.5",
    "1.235",
    "9,877",
    "123.5K",
    "1.796B",
  ]);
  expect([0.00004, -1.7e308].map(number)).toEqual(["4e-5", "-1.7e+308"]);
  expect(numberFormat("zh-CN").number(123_456)).toBe("12.35万");
});

test("counts are whole and grouped, and small percentages have a decimal", () => {
  expect([count(1234.4), percent(9.94), percent(12.3), percent(null)]).toEqual([
    "1,234",
    "9.9 %",
    "12 %",
    "–",
  ]);
});
