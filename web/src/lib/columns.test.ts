import { describe, expect, test } from "vitest";
import {
  type Columns,
  dropBefore,
  granularitySeconds,
  joinColumns,
  joinLines,
  lastValue,
  loneIndices,
  maxStep,
  usualStep,
  valueAt,
  withGaps,
} from "@/lib/columns";

describe("gaps", () => {
  test("are opened where two points are too far apart", () => {
    const columns: Columns = [
      [0, 10, 20, 80, 90],
      [1, 2, 3, 4, 5],
    ];
    expect(withGaps(columns, 30)).toEqual([
      [0, 10, 20, 50, 80, 90],
      [1, 2, 3, null, 4, 5],
    ]);
  });

  test("do not change a steady series", () => {
    const columns: Columns = [
      [0, 10, 40],
      [1, 2, 3],
    ];
    expect(withGaps(columns, 30)).toBe(columns);
  });

  test("are opened in every line at once", () => {
    expect(
      withGaps(
        [
          [0, 100],
          [1, 2],
          [3, null],
        ],
        30,
      ),
    ).toEqual([
      [0, 50, 100],
      [1, null, 2],
      [3, null, null],
    ]);
  });

  test("need three missing buckets and three missing reports", () => {
    expect(maxStep(granularitySeconds("10s"), 60)).toBe(180);
    expect(maxStep(granularitySeconds("5m"), 2)).toBe(900);
  });
});

describe("granularity", () => {
  test("is read in seconds", () => {
    expect(["1s", "30s", "2m", "6h", "7d"].map(granularitySeconds)).toEqual([
      1, 30, 120, 21_600, 604_800,
    ]);
  });
});

describe("history and live samples", () => {
  test("are joined without overlap", () => {
    expect(
      joinColumns(
        [
          [1, 2, 3, 4],
          [10, 20, 30, 40],
        ],
        [
          [3, 5],
          [31, 51],
        ],
      ),
    ).toEqual([
      [1, 2, 3, 5],
      [10, 20, 31, 51],
    ]);
  });

  test("keep all history until the first live sample", () => {
    const history: Columns = [
      [1, 2],
      [10, 20],
    ];
    expect(joinColumns(history, [[], []])).toEqual(history);
  });

  test("are limited to the window", () => {
    expect(
      dropBefore(
        [
          [1, 2, 3],
          [10, 20, 30],
        ],
        2,
      ),
    ).toEqual([
      [2, 3],
      [20, 30],
    ]);
    expect(
      dropBefore(
        [
          [1, 2],
          [10, 20],
        ],
        5,
      ),
    ).toEqual([[], []]);
  });
});

describe("lines with times of their own", () => {
  const joined = joinLines([
    [
      [0, 60, 120],
      [1, null, 3],
    ],
    [
      [30, 60],
      [7, 8],
    ],
    [[], []],
  ]);

  test("share all times, with undefined for missing points", () => {
    expect(joined).toEqual([
      [0, 30, 60, 120],
      [1, undefined, null, 3],
      [undefined, 7, 8, undefined],
      [undefined, undefined, undefined, undefined],
    ]);
  });

  test("are read between their points, and not across a gap or before the first", () => {
    const [, first = [], second = []] = joined;
    expect([0, 1, 2, 3].map((at) => valueAt(first, at))).toEqual([1, 1, null, 3]);
    expect([0, 1, 2, 3].map((at) => valueAt(second, at))).toEqual([null, 7, 8, 8]);
    expect(joined.slice(1).map(lastValue)).toEqual([3, 8, null]);
  });

  test("have a usual step that a gap does not change", () => {
    expect(usualStep([0, 60, 120, 4_000, 4_060])).toBe(60);
    expect([[], [5]].map(usualStep)).toEqual([0, 0]);
  });
});

test("a point is alone if no line joins it to another", () => {
  expect(loneIndices([1])).toEqual([0]);
  expect(loneIndices([1, 2, null, 3, null, 4])).toEqual([3, 5]);
  // Only another line has a point between these two.
  expect(loneIndices([1, undefined, 2])).toEqual([]);
});
