import { expect, test } from "vitest";
import { scaleOf } from "@/components/plot/plot-options";

test("a scale includes zero and leaves room beyond the values", () => {
  expect(scaleOf(20, 100, { atLeast: 1 })).toEqual([0, expect.closeTo(115)]);
  expect(scaleOf(-20, -10, { atLeast: 0 })).toEqual([expect.closeTo(-23), 0]);
  expect(scaleOf(0, 0.2, { atLeast: 1 })).toEqual([0, 1]);
  expect(scaleOf(5, 300, { exactly: 100 })).toEqual([0, 100]);
});

test("a scale is never empty", () => {
  expect(scaleOf(0, 0, { atLeast: 0 })).toEqual([0, 1]);
  expect(scaleOf(null, null, { atLeast: 0 })).toEqual([0, 1]);
  const [low, high] = scaleOf(-1.7e308, 1.7e308, { atLeast: 0 });
  expect(Number.isFinite(high - low)).toBe(true);
});
