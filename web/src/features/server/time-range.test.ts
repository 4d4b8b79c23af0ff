import { expect, test } from "vitest";
import { atLeastShortest, readRange, writeRange } from "@/features/server/time-range";

test("a range survives the address bar", () => {
  for (const range of [{ span: "7d" }, { from: 1_760_000_000, to: 1_760_003_600 }] as const) {
    expect(readRange(new URLSearchParams(writeRange(range)))).toEqual(range);
  }
});

test.each(["range=9y", "range=toString", "from=x&to=y", "from=2026-01-02&to=2026-01-01", ""])(
  "what cannot be read (%s) is the default",
  (query) => {
    expect(readRange(new URLSearchParams(query))).toEqual({ span: "6h" });
  },
);

test("a brush over less than a minute is widened around its middle", () => {
  expect(atLeastShortest(100, 110)).toEqual({ from: 75, to: 135 });
  expect(atLeastShortest(100, 400)).toEqual({ from: 100, to: 400 });
});
