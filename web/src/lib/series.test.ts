import { describe, expect, test } from "vitest";
import {
  type Columns,
  granularitySeconds,
  joinColumns,
  joinLines,
  lastValue,
  longestStep,
  since,
  usualStep,
  valueAt,
  withGaps,
} from "@/lib/series";

describe("gaps", () => {
  test("are opened where points lie further apart than a line may reach", () => {
    const columns: Columns = [
      [0, 10, 20, 80, 90],
      [1, 2, 3, 4, 5],
    ];
    expect(withGaps(columns, 30)).toEqual([
      [0, 10, 20, 50, 80, 90],
      [1, 2, 3, null, 4, 5],
    ]);
  });

  test("leave a steady series as it is", () => {
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

  test("need both three buckets and three reports to be missing", () => {
    expect(longestStep(granularitySeconds("10s"), 60)).toBe(180);
    expect(longestStep(granularitySeconds("5m"), 2)).toBe(900);
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

  test("keep history whole until the first live sample comes", () => {
    const history: Columns = [
      [1, 2],
      [10, 20],
    ];
    expect(joinColumns(history, [[], []])).toEqual(history);
  });

  test("are cut to the window", () => {
    expect(
      since(
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
      since(
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

  test("share the times of all, and only what is missing of them is undefined", () => {
    expect(joined).toEqual([
      [0, 30, 60, 120],
      [1, undefined, null, 3],
      [undefined, 7, 8, undefined],
      [undefined, undefined, undefined, undefined],
    ]);
  });

  test("are read between their points, and not across a hole or before the first", () => {
    const [, first = [], second = []] = joined;
    expect([0, 1, 2, 3].map((at) => valueAt(first, at))).toEqual([1, 1, null, 3]);
    expect([0, 1, 2, 3].map((at) => valueAt(second, at))).toEqual([null, 7, 8, 8]);
    expect(joined.slice(1).map(lastValue)).toEqual([3, 8, null]);
  });

  test("have a usual step, which a hole does not change", () => {
    expect(usualStep([0, 60, 120, 4_000, 4_060])).toBe(60);
    expect([[], [5]].map(usualStep)).toEqual([0, 0]);
  });
});
