import { expect, test } from "vitest";
import { readRange, widenToMinimum, writeRange } from "@/features/metrics/time-range";

test("a range can be written to the address and read back", () => {
  for (const range of [{ span: "7d" }, { from: 1_760_000_000, to: 1_760_003_600 }] as const) {
    expect(readRange(new URLSearchParams(writeRange(range)))).toEqual(range);
  }
});

test.each(["range=9y", "range=toString", "from=x&to=y", "from=2026-01-02&to=2026-01-01", ""])(
  "an unreadable range (%s) is the default",
  (query) => {
    expect(readRange(new URLSearchParams(query))).toEqual({ span: "6h" });
  },
);

test("a zoom to less than a minute is widened around its middle", () => {
  expect(widenToMinimum(100, 110)).toEqual({ from: 75, to: 135 });
  expect(widenToMinimum(100, 400)).toEqual({ from: 100, to: 400 });
});
