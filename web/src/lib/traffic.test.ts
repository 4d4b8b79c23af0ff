import { expect, test } from "vitest";
import type { TrafficMonth } from "@/api/traffic";
import { currentMonth, inUnit, periodText, toBytes, trafficText } from "@/lib/traffic";

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

test("a period is told by the days of its own time zone", () => {
  const plain = periodText(PERIOD, "Asia/Shanghai", "en").replace(/\s/g, " ");
  expect(plain).toBe("Feb 1 – 28, 2026");
});

test("a period that has ended is not the present one", () => {
  expect(currentMonth([MONTH], Date.parse("2026-02-28T15:59:59Z"))).toBe(MONTH);
  expect(currentMonth([MONTH], Date.parse(PERIOD.ends_at))).toBeUndefined();
});

test("an allowance survives the form's units", () => {
  for (const bytes of [1_500_000_000, 2_000_000_000_000, 20_000_000_000_000]) {
    const { amount, unit } = inUnit(bytes);
    expect(toBytes(amount, unit)).toBe(bytes);
  }
  expect(toBytes(null, "GB")).toBe(0);
});

test("traffic is told in decimal units", () => {
  expect(trafficText(540_000_000_000)).toBe("540 GB");
  expect(trafficText(1_234_000_000_000)).toBe("1.23 TB");
  expect(trafficText(0)).toBe("0 kB");
});
