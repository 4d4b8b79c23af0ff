import { describe, expect, test } from "vitest";
import { inputPattern, timeAt } from "@/lib/format/wall-times";
import { localDate, wallTime } from "@/lib/format/zones";
import { testFormat } from "@/testing/format";

const NOON = "2026-11-27T12:04:05.678Z";
const seconds = (time: string) => Date.parse(time) / 1000;
// Browsers differ in the kinds of spaces.
const plain = (text: string) => text.replace(/[\s\u202f]/g, " ");

const british = testFormat();
const american = testFormat({ locale: "en-US", clock: "12h", timeZone: "America/New_York" });
const nepalese = testFormat({ clock: "12h", timeZone: "Asia/Kathmandu" });
const chinese = testFormat({ language: "zh-CN", locale: "zh-CN", timeZone: "Asia/Shanghai" });

describe("a date and time", () => {
  test("has the locale, the clock and the time zone of the user", () => {
    const told = [british, american, nepalese, chinese].map(({ dateTime }) => dateTime(NOON));
    expect(told.map(plain)).toEqual([
      "27 Nov 2026, 12:04:05",
      "Nov 27, 2026, 7:04:05 AM",
      "27 Nov 2026, 5:49:05 pm",
      "2026年11月27日 20:04:05",
    ]);
  });

  test("on a chart names its time zone", () => {
    const told = [british, american, nepalese].map(({ instant }) => instant(seconds(NOON)));
    expect(told.map(plain)).toEqual([
      "27 Nov 2026, 12:04:05 UTC",
      "Nov 27, 2026, 7:04:05 AM EST",
      "27 Nov 2026, 5:49:05 pm GMT+5:45",
    ]);
  });

  test("of a line of a log has milliseconds", () => {
    expect(plain(british.logTime(NOON))).toBe("27/11, 12:04:05.678");
    expect(plain(american.logTime(NOON))).toBe("11/27, 7:04:05.678 AM");
  });

  test("in an input has the order of the locale", () => {
    expect(
      [british, american, chinese].map(({ preferences }) => inputPattern(preferences)),
    ).toEqual(["DD/MM/YYYY HH:mm", "MM/DD/YYYY hh:mm A", "YYYY/MM/DD HH:mm"]);
  });
});

describe("two moments", () => {
  const now = new Date("2026-11-27T23:00:00Z");

  test("leave out the day only if both are today in the time zone of the user", () => {
    const [first, last] = ["2026-11-27T19:00:00Z", "2026-11-27T20:00:00Z"] as const;
    expect(british.moments(first, last, now)).toEqual(["19:00", "20:00"]);
    // In Nepal it is the next day already, and 19:00 UTC was after midnight there too.
    expect(nepalese.moments(first, last, now).map(plain)).toEqual(["12:45 am", "1:45 am"]);
    const earlier = ["2026-11-27T18:00:00Z", last] as const;
    expect(nepalese.moments(...earlier, now).map(plain)).toEqual([
      "27 Nov, 11:45 pm",
      "28 Nov, 1:45 am",
    ]);
  });

  test("have seconds if they are close, and the year if it is another one", () => {
    const close = ["2025-01-01T00:00:00Z", "2025-01-01T00:00:30Z"] as const;
    expect(british.moments(...close, now)).toEqual([
      "1 Jan 2025, 00:00:00",
      "1 Jan 2025, 00:00:30",
    ]);
  });
});

describe("the labels of a time axis", () => {
  test("are days at midnight in the time zone of the user", () => {
    const midnight = seconds("2026-11-27T18:15:00Z"); // in Nepal
    expect(nepalese.axisLabel(midnight, 3_600)).toBe("28 Nov");
    expect(british.axisLabel(midnight, 3_600)).toBe("18:15");
    expect(plain(nepalese.axisLabel(midnight + 3_600, 3_600))).toBe("1:00 am");
  });

  test("have seconds if they are close together", () => {
    expect(british.axisLabel(seconds(NOON), 5)).toBe("12:04:05");
  });
});

describe("a billing period", () => {
  test("is written in its own time zone, which is named if it is not the user's", () => {
    const end = "2026-11-30T23:00:00Z";
    expect(british.dayIn(end, "Europe/Berlin")).toBe("1 Dec");
    expect(british.dateTimeIn(end, "Europe/Berlin")).toBe("1 Dec 2026, 00:00 CET");
    expect(british.dateTimeIn(end, "UTC")).toBe("30 Nov 2026, 23:00");
  });

  test("lists its days by date", () => {
    expect([british, american].map(({ plainDay }) => plainDay("2026-05-03"))).toEqual([
      "3 May",
      "May 3",
    ]);
  });
});

test("days of the week and durations are words of the language", () => {
  expect((["monday", "saturday", "sunday"] as const).map(british.weekday)).toEqual([
    "Monday",
    "Saturday",
    "Sunday",
  ]);
  expect([chinese.weekday("sunday"), british.longDuration(7_200)]).toEqual(["星期日", "2 hours"]);
});

describe("times of clocks", () => {
  test("lead back to the same time, also across the changes of summer time", () => {
    for (const zone of ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]) {
      for (let time = Date.UTC(2026, 0); time < Date.UTC(2027, 0); time += 86_400_000 * 5.37) {
        const whole = Math.floor(time / 1000) * 1000;
        expect(timeAt(wallTime(whole, zone), zone)).toBe(whole);
      }
    }
  });

  test("that are shown twice mean the first one, and skipped ones the hour after", () => {
    const wall = { year: 2026, month: 10, day: 25, hour: 2, minute: 30, second: 0 };
    expect(timeAt(wall, "Europe/Berlin")).toBe(Date.parse("2026-10-25T00:30:00Z"));
    const skipped = { ...wall, month: 3, day: 29 };
    expect(timeAt(skipped, "Europe/Berlin")).toBe(Date.parse("2026-03-29T01:30:00Z"));
  });

  test("are the local fields of a date for libraries", () => {
    const date = localDate(Date.parse(NOON), "Asia/Kathmandu");
    expect([date.getDate(), date.getHours(), date.getMinutes()]).toEqual([27, 17, 49]);
    expect(date.getMilliseconds()).toBe(678);
  });
});
