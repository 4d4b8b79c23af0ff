import { coarseDuration, DAY, MINUTE } from "@/lib/format/durations";
import type { FormatPreferences, Weekday } from "@/lib/format/preferences";
import { browserZone, wallTime } from "@/lib/format/zones";

// ms since the epoch, or ISO 8601.
export type Time = number | string | Date;

export interface TimeFormat {
  // The date and the time, to the second.
  dateTime: (time: Time) => string;
  // A time on a chart (seconds since the epoch), to the second and with its time zone.
  instant: (seconds: number) => string;
  // Two times in the same way: with the day if either is not today, with seconds if they are close.
  moments: (first: string, last: string, now?: Date) => [string, string];
  // The time of a line of a log, to the millisecond.
  logTime: (time: Time) => string;
  // A label of the time axis of a chart (seconds since the epoch) whose labels are `step` seconds apart.
  axisLabel: (seconds: number, step: number) => string;
  // The name of a day of the week.
  weekday: (day: Weekday) => string;
  // "3 days", in words.
  longDuration: (seconds: number) => string;

  // A day without a time, such as "2026-05-03".
  plainDay: (day: string) => string;
  // The day, the days from one time to another, and the time, in a time zone that is not the user's:
  // that of a billing period.
  dayIn: (time: Time, zone: string) => string;
  dayRangeIn: (first: Time, last: Time, zone: string) => string;
  dateTimeIn: (time: Time, zone: string) => string;
}

type Options = Intl.DateTimeFormatOptions;

const DATE: Options = { month: "short", day: "numeric" };
const WEEKDAY_OF_JANUARY_2000 = { saturday: 1, sunday: 2, monday: 3 };

function asDate(time: Time): Date {
  return new Date(time);
}

export function timeFormat(preferences: FormatPreferences): TimeFormat {
  const { language, locale, clock, timeZone } = preferences;
  const half = clock === "12h";
  const clockTime: Options = { hour: half ? "numeric" : "2-digit", minute: "2-digit" };
  const toSecond: Options = { ...clockTime, second: "2-digit" };
  const made = new Map<string, Intl.DateTimeFormat>();
  const formatter = (options: Options, zone = timeZone) => {
    const key = JSON.stringify([options, zone]);
    let found = made.get(key);
    if (!found) {
      found = new Intl.DateTimeFormat(locale, {
        ...options,
        hourCycle: half ? "h12" : "h23",
        timeZone: zone,
      });
      made.set(key, found);
    }
    return found;
  };
  const dated: Options = { year: "numeric", ...DATE };
  const log: Options = { month: "2-digit", day: "2-digit", ...toSecond, fractionalSecondDigits: 3 };

  return {
    dateTime: (time) => formatter({ ...dated, ...toSecond }).format(asDate(time)),
    instant: (seconds) =>
      formatter({ ...dated, ...toSecond, timeZoneName: "short" }).format(seconds * 1000),
    moments: (first, last, now = new Date()) => {
      const times = [asDate(first), asDate(last)] as const;
      const today = wallTime(now.getTime(), timeZone);
      const walls = times.map((time) => wallTime(time.getTime(), timeZone));
      const thisYear = walls.every(({ year }) => year === today.year);
      const isToday =
        thisYear && walls.every(({ month, day }) => month === today.month && day === today.day);
      const close = Math.abs(times[1].getTime() - times[0].getTime()) < 2 * MINUTE * 1000;
      const { format } = formatter({
        ...(!isToday && DATE),
        ...(!thisYear && { year: "numeric" }),
        ...(close ? toSecond : clockTime),
      });
      return [format(times[0]), format(times[1])];
    },
    logTime: (time) => formatter(log).format(asDate(time)),
    axisLabel: (seconds, step) => {
      const { hour, minute } = wallTime(seconds * 1000, timeZone);
      const day = step >= DAY || (hour === 0 && minute === 0 && step >= MINUTE);
      const options = day ? DATE : step < MINUTE ? toSecond : clockTime;
      return formatter(options).format(seconds * 1000);
    },
    weekday: (day) =>
      new Intl.DateTimeFormat(language, { weekday: "long", timeZone: "UTC" }).format(
        Date.UTC(2000, 0, WEEKDAY_OF_JANUARY_2000[day]),
      ),
    longDuration: (seconds) => {
      const { unit, count } = coarseDuration(seconds);
      return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(
        count,
      );
    },
    plainDay: (day) => formatter(DATE, "UTC").format(Date.parse(day)),
    dayIn: (time, zone) => formatter(DATE, zone).format(asDate(time)),
    dayRangeIn: (first, last, zone) =>
      formatter(dated, zone).formatRange(asDate(first), asDate(last)),
    dateTimeIn: (time, zone) =>
      formatter(
        {
          ...dated,
          ...clockTime,
          ...(zone !== (timeZone ?? browserZone()) && { timeZoneName: "short" }),
        },
        zone,
      ).format(asDate(time)),
  };
}
