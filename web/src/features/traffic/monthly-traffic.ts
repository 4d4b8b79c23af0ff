import type { TFunction } from "i18next";
import type { Counted, TrafficMonth } from "@/api/traffic";
import { HOUR } from "@/lib/format/durations";
import type { Format } from "@/lib/format/format";

export const UNITS = { GB: 1e9, TB: 1e12 } as const;
export type Unit = keyof typeof UNITS;
export const MAX_BYTES = 9e15; // larger numbers are not exact

export function toBytes(amount: number | null | undefined, unit: Unit): number {
  return Math.round((amount ?? 0) * UNITS[unit]);
}

// The unit in which an allowance of this size is usually sold.
export function inUnit(bytes: number): { amount: number; unit: Unit } {
  const unit = bytes >= UNITS.TB ? "TB" : "GB";
  return { amount: bytes / UNITS[unit], unit };
}

export function allowanceText(
  t: TFunction,
  format: Format,
  counted: number,
  allowance: number,
): string {
  // Each amount in its own unit: in TB, a few MB would be shown as zero.
  if (counted < allowance / 1000) {
    return t("traffic.share", { used: format.traffic(counted), total: format.traffic(allowance) });
  }
  const { values, unit } = format.traffics(counted, allowance);
  const [used = "", total = ""] = values;
  return t("unit.share", { used, total, unit });
}

// The period that contains the present. A server without data since its last period has none.
export function currentMonth(
  months: readonly TrafficMonth[],
  now = Date.now(),
): TrafficMonth | undefined {
  return months.find(
    ({ starts_at, ends_at }) => Date.parse(starts_at) <= now && now < Date.parse(ends_at),
  );
}

// The bytes that count, computed from the bytes received and sent.
export function countedOf(counted: Counted, rx: number, tx: number): number {
  return { in: rx, out: tx, both: rx + tx, max: Math.max(rx, tx) }[counted];
}

// The bytes that will count at the end of the period if the rate stays the same. Null while less than
// an hour is measured. Corrections are included once and do not change the rate.
export function forecastOf(
  month: TrafficMonth,
  counted: Counted,
  createdAt: string,
): number | null {
  const until = Date.parse(month.counted_until);
  const elapsed = until - Math.max(Date.parse(month.starts_at), Date.parse(createdAt));
  if (elapsed < HOUR * 1000) return null;
  const rate = countedOf(counted, month.total_rx, month.total_tx) / elapsed;
  return month.counted + rate * (Date.parse(month.ends_at) - until);
}

// The last millisecond of the period decides its last day.
export function periodText(
  { starts_at, ends_at }: Pick<TrafficMonth, "starts_at" | "ends_at">,
  timeZone: string,
  format: Format,
): string {
  return format.dayRangeIn(starts_at, Date.parse(ends_at) - 1, timeZone);
}
