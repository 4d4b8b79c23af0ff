// A date and time as a clock on a wall shows it. Months count from 1.
export interface WallTime {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const FIELDS = ["year", "month", "day", "hour", "minute", "second"] as const;
const clocks = new Map<string, Intl.DateTimeFormat>();

function clockIn(zone: string): Intl.DateTimeFormat {
  let clock = clocks.get(zone);
  if (!clock) {
    clock = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      ...Object.fromEntries(FIELDS.map((field) => [field, "numeric"])),
    });
    clocks.set(zone, clock);
  }
  return clock;
}

// What clocks show at a time (ms since the epoch), in the time zone of the browser if none is given.
export function wallTime(time: number, zone: string | undefined): WallTime {
  if (zone === undefined) {
    const at = new Date(time);
    return {
      year: at.getFullYear(),
      month: at.getMonth() + 1,
      day: at.getDate(),
      hour: at.getHours(),
      minute: at.getMinutes(),
      second: at.getSeconds(),
    };
  }
  const wall: WallTime = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  for (const { type, value } of clockIn(zone).formatToParts(time)) {
    if (Object.hasOwn(wall, type)) wall[type as keyof WallTime] = Number(value);
  }
  return wall;
}

// A date whose local fields are what clocks in the zone show. For libraries that know only the time
// zone of the browser.
export function localDate(time: number, zone: string | undefined): Date {
  if (zone === undefined) return new Date(time);
  const { year, month, day, hour, minute, second } = wallTime(time, zone);
  return new Date(year, month - 1, day, hour, minute, second, ((time % 1000) + 1000) % 1000);
}

export function browserZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
