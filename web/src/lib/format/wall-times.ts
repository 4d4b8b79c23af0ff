import type { FormatPreferences } from "@/lib/format/preferences";
import { type WallTime, wallTime } from "@/lib/format/zones";

const TOKENS: Partial<Record<Intl.DateTimeFormatPartTypes, string>> = {
  year: "YYYY",
  month: "MM",
  day: "DD",
};

// The date in a time zone, such as "2026-05-03".
export function isoDay(time: number, zone: string): string {
  const { year, month, day } = wallTime(time, zone);
  return new Date(Date.UTC(year, month - 1, day)).toISOString().slice(0, 10);
}

function asUtc({ year, month, day, hour, minute, second }: WallTime): number {
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

// The time (ms since the epoch) at which clocks show this. Of an hour that clocks show twice, the
// first one; an hour that they skip counts as the one after it.
export function timeAt(wall: WallTime, zone: string | undefined): number {
  if (zone === undefined) {
    const { year, month, day, hour, minute, second } = wall;
    return new Date(year, month - 1, day, hour, minute, second).getTime();
  }
  const shown = asUtc(wall);
  const offset = (time: number) => asUtc(wallTime(time, zone)) - Math.floor(time / 1000) * 1000;
  // The offset changes at most once within a day.
  const [before, after] = [shown - offset(shown - 86_400_000), shown - offset(shown + 86_400_000)];
  return [before, after].find((time) => asUtc(wallTime(time, zone)) === shown) ?? before;
}

// The pattern of a date and time in an input, in the tokens of Day.js.
export function inputPattern({ locale, clock }: FormatPreferences): string {
  return `${datePattern(locale)} ${clock === "12h" ? "hh:mm A" : "HH:mm"}`;
}

// The order and the separators of a date in numbers, such as DD/MM/YYYY.
function datePattern(locale: string): string {
  const parts = new Intl.DateTimeFormat(locale, {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  }).formatToParts(0);
  return parts.map(({ type, value }) => TOKENS[type] ?? value).join("");
}
