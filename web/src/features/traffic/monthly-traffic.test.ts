import { expect, test } from "vitest";
import type { TrafficMonth } from "@/api/traffic";
import {
  currentMonth,
  forecastOf,
  inUnit,
  periodText,
  toBytes,
} from "@/features/traffic/monthly-traffic";
import { testFormat } from "@/testing/format";

const PERIOD = { starts_at: "2026-01-31T16:00:00Z", ends_at: "2026-02-28T16:00:00Z" };
const MONTH: TrafficMonth = {
  ...PERIOD,
  month: "2026-02",
  counted_until: "2026-02-10T00:00:00Z",
  total_rx: 0,
  total_tx: 0,
  corrected_rx: 0,
  corrected_tx: 0,
  counted: 0,
  allowance_used: null,
  coverage: null,
  rx_p95: null,
  tx_p95: null,
};

test("a period is shown in the days of its own time zone", () => {
  const plain = periodText(PERIOD, "Asia/Shanghai", testFormat()).replace(/\s/g, " ");
  expect(plain).toBe("1 – 28 Feb 2026");
});

test("a period that has ended is not the current one", () => {
  expect(currentMonth([MONTH], Date.parse("2026-02-28T15:59:59Z"))).toBe(MONTH);
  expect(currentMonth([MONTH], Date.parse(PERIOD.ends_at))).toBeUndefined();
});

test("an allowance can be written in the units of the form and read back", () => {
  for (const bytes of [1_500_000_000, 2_000_000_000_000, 20_000_000_000_000]) {
    const { amount, unit } = inUnit(bytes);
    expect(toBytes(amount, unit)).toBe(bytes);
  }
  expect(toBytes(null, "GB")).toBe(0);
});

test("a forecast continues the measured rate to the end of the period", () => {
  const half = {
    ...MONTH,
    counted_until: "2026-02-14T16:00:00Z",
    total_rx: 600,
    total_tx: 400,
    counted: 1_200,
  };
  const before = "2025-01-01T00:00:00Z";
  // 1,000 in the first half, and a correction of 200 that is not repeated.
  expect(forecastOf(half, "both", before)).toBeCloseTo(2_200);
  expect(forecastOf({ ...half, counted: 600 }, "max", before)).toBeCloseTo(1_200);
});

test("a forecast counts from the day on which the server was added", () => {
  const month = {
    ...MONTH,
    counted_until: "2026-02-14T16:00:00Z",
    total_tx: 100,
    counted: 100,
  };
  expect(forecastOf(month, "out", "2026-02-07T16:00:00Z")).toBeCloseTo(300);
  expect(forecastOf(month, "out", "2026-02-14T15:30:00Z")).toBeNull();
});
