import { expect, test } from "vitest";
import { dailyShare, periodDays, topOf } from "@/features/traffic/period-days";

const PERIOD = { starts_at: "2026-01-31T16:00:00Z", ends_at: "2026-02-28T16:00:00Z" };
const MEASURED = [{ day: "2026-02-03", rx: 10, tx: 5 }];

test("a period has all its days in the time zone of the server", () => {
  const days = periodDays(PERIOD, "Asia/Shanghai", MEASURED);
  expect(days).toHaveLength(28);
  expect(days[0]).toEqual({ day: "2026-02-01", measured: null });
  expect(days[2]).toEqual({ day: "2026-02-03", measured: { rx: 10, tx: 5 } });
  expect(days.at(-1)?.day).toBe("2026-02-28");
});

test("a period over a change to summer time has no day twice", () => {
  const march = { starts_at: "2026-02-28T23:00:00Z", ends_at: "2026-03-31T22:00:00Z" };
  const days = periodDays(march, "Europe/Berlin", []);
  expect(new Set(days.map(({ day }) => day)).size).toBe(31);
  expect(days.at(-1)?.day).toBe("2026-03-31");
});

test("the scale includes the share of the allowance if the bars stay visible", () => {
  const days = periodDays(PERIOD, "Asia/Shanghai", MEASURED);
  expect(topOf(days, "both", null)).toBe(15);
  expect(topOf(days, "out", null)).toBe(5);
  expect(topOf(days, "both", 20)).toBe(20);
  expect(topOf(days, "both", 1000)).toBe(15);
  expect(dailyShare(days, "both", 280)).toBe(10);
  expect(dailyShare(days, "max", 280)).toBeNull();
});
