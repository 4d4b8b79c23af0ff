import { expect, test } from "vitest";
import {
  figuresOf,
  flatColumns,
  isCurrent,
  spreadKinds,
  spreadOf,
  spreadPlaces,
  withPlotGaps,
} from "@/components/plot/spread";

test("a bucket with one sample has no spread", () => {
  expect(spreadOf([1, 2, null], [1, 5, null], [1, 4, null])).toEqual({
    low: [null, 2, null],
    high: [null, 5, null],
    p95: [null, 4, null],
  });
  expect(spreadOf([1, 2], [1, 2], null)).toBeNull();
});

test("the columns of spreads follow those of the lines", () => {
  const spreads = [
    { low: [1], high: [3], p95: [2] },
    null,
    { low: [7], high: [9], p95: null },
  ] as const;
  const data = { columns: [[0], [2], [5], [8]], spreads } as unknown as Parameters<
    typeof flatColumns
  >[0];
  expect(flatColumns(data)).toEqual([[0], [2], [5], [8], [1], [3], [2], [7], [9]]);
  expect(spreadPlaces(spreadKinds(data.spreads))).toEqual([
    { line: 1, low: 4, high: 5, p95: 6 },
    { line: 3, low: 7, high: 8, p95: null },
  ]);
});

test("a gap interrupts the lines and their spreads", () => {
  const spread = { low: [1, 1], high: [3, 3], p95: null };
  const gapped = withPlotGaps(
    {
      columns: [
        [0, 100],
        [2, 2],
      ],
      spreads: [spread],
    },
    10,
  );
  expect(gapped.columns).toEqual([
    [0, 50, 100],
    [2, null, 2],
  ]);
  expect(gapped.spreads).toEqual([{ low: [1, null, 1], high: [3, null, 3], p95: null }]);
});

test("the maximum is that of the samples, not of the averages", () => {
  const spread = { low: [null, 1], high: [null, 90], p95: null };
  expect(figuresOf([10, 20, null], spread)).toEqual({ last: 20, average: 15, max: 90 });
  expect(figuresOf([10, 20, null], null)).toEqual({ last: 20, average: 15, max: 20 });
  expect(figuresOf([null, undefined], null)).toEqual({ last: null, average: null, max: null });
  const large = 1.7e308;
  expect(figuresOf([large, large], null).average).toBe(large);
});

test("an old point is not the present", () => {
  expect(isCurrent([0, 10, 20], 100)).toBe(true);
  expect(isCurrent([0, 10, 20], 200)).toBe(false);
  expect(isCurrent([0, 7200, 14_400], 30_000)).toBe(true);
  expect(isCurrent([], 0)).toBe(false);
});
