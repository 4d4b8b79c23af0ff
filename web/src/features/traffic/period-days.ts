import type { Counted, TrafficDay, TrafficMonth } from "@/api/traffic";
import { countedOf } from "@/features/traffic/monthly-traffic";
import { DAY } from "@/lib/format/durations";
import { isoDay } from "@/lib/format/wall-times";

// A day of a period, such as "2026-03-31", with its measured bytes. Null without measurements.
export interface PeriodDay {
  day: string;
  measured: { rx: number; tx: number } | null;
}

const FEW = 4; // times the largest day; a higher line would make the bars too small

// All days of a period in the time zone of its server.
export function periodDays(
  { starts_at, ends_at }: Pick<TrafficMonth, "starts_at" | "ends_at">,
  timeZone: string,
  measured: readonly TrafficDay[],
): PeriodDay[] {
  const dayOf = (time: string | number) => isoDay(new Date(time).getTime(), timeZone);
  const last = dayOf(Date.parse(ends_at) - 1);
  const found: PeriodDay[] = [];
  for (let at = Date.parse(dayOf(starts_at)); ; at += DAY * 1000) {
    const day = new Date(at).toISOString().slice(0, 10);
    if (day > last) return found;
    const one = measured.find((each) => each.day === day);
    found.push({ day, measured: one ? { rx: one.rx, tx: one.tx } : null });
  }
}

// The directions that the bars show, from the bottom to the top.
export function shownDirections(counted: Counted): readonly ("rx" | "tx")[] {
  if (counted === "in") return ["rx"];
  return counted === "out" ? ["tx"] : ["rx", "tx"];
}

// An even share of the allowance for each day. Null if days do not add up to the period.
export function dailyShare(
  days: readonly PeriodDay[],
  counted: Counted,
  allowance: number | null,
): number | null {
  return allowance === null || counted === "max" ? null : allowance / days.length;
}

// The top of the scale of the bars, in bytes.
export function topOf(days: readonly PeriodDay[], counted: Counted, share: number | null): number {
  const shown: Counted = counted === "max" ? "both" : counted;
  const largest = Math.max(
    1,
    ...days.map(({ measured }) => (measured ? countedOf(shown, measured.rx, measured.tx) : 0)),
  );
  return share !== null && share <= FEW * largest ? Math.max(largest, share) : largest;
}
