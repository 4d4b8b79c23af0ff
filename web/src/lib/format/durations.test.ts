import { expect, test } from "vitest";
import { coarseDuration, formatCountdown } from "@/lib/format/durations";

test("durations are shown in a single unit", () => {
  expect([59, 60, 3_599, 3_600, 172_799, 172_800].map(coarseDuration)).toEqual([
    { unit: "second", count: 59 },
    { unit: "minute", count: 1 },
    { unit: "minute", count: 59 },
    { unit: "hour", count: 1 },
    { unit: "hour", count: 47 },
    { unit: "day", count: 2 },
  ]);
});

test("durations in the future count as zero, because clocks differ", () => {
  expect(coarseDuration(-5)).toEqual({ unit: "second", count: 0 });
});

test("a countdown keeps two digits of seconds", () => {
  expect([600, 59.2, 0, -3].map(formatCountdown)).toEqual(["10:00", "1:00", "0:00", "0:00"]);
});
