import type { TFunction } from "i18next";
import type { TrafficMonth } from "@/api/traffic";
import { formatBitRates, formatTraffic } from "@/lib/format";

export const UNITS = { GB: 1e9, TB: 1e12 } as const;
export type Unit = keyof typeof UNITS;
export const MOST = 9e15; // bytes; beyond, a number is no longer exact

export function toBytes(amount: number | null | undefined, unit: Unit): number {
  return Math.round((amount ?? 0) * UNITS[unit]);
}

// The unit in which an allowance is most likely to have been sold.
export function inUnit(bytes: number): { amount: number; unit: Unit } {
  const unit = bytes >= UNITS.TB ? "TB" : "GB";
  return { amount: bytes / UNITS[unit], unit };
}

export function trafficText(bytes: number): string {
  const { values, unit } = formatTraffic(bytes);
  return `${values[0]} ${unit}`;
}

export function allowanceText(t: TFunction, counted: number, allowance: number): string {
  // Each in its own unit: a few MB of 20 TB would be nought.
  if (counted < allowance / 1000) {
    return t("traffic.share", { used: trafficText(counted), total: trafficText(allowance) });
  }
  const { values, unit } = formatTraffic(counted, allowance);
  const [used = "", total = ""] = values;
  return t("unit.share", { used, total, unit });
}

export function rateText(bytesPerSecond: number | null): string {
  if (bytesPerSecond === null) return "–";
  const { values, unit } = formatBitRates(bytesPerSecond);
  return `${values[0]} ${unit}`;
}

export function percentText(percent: number | null): string {
  return percent === null ? "–" : `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

// A server that has been silent since its last period ended has none now.
export function currentMonth(
  months: readonly TrafficMonth[],
  now = Date.now(),
): TrafficMonth | undefined {
  return months.find(
    ({ starts_at, ends_at }) => Date.parse(starts_at) <= now && now < Date.parse(ends_at),
  );
}

// The last moment before the next period tells the last day.
export function periodText(
  { starts_at, ends_at }: Pick<TrafficMonth, "starts_at" | "ends_at">,
  timeZone: string,
  language: string,
): string {
  const days = new Intl.DateTimeFormat(language, {
    year: "numeric",
    month: "short",
    day: "numeric",
    timeZone,
  });
  return days.formatRange(new Date(starts_at), new Date(Date.parse(ends_at) - 1));
}
