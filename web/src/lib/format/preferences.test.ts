import { expect, test } from "vitest";
import {
  clockOf,
  dateLocaleOf,
  firstWeekdayOf,
  NO_CHOICES,
  resolvePreferences,
} from "@/lib/format/preferences";

test("defaults come from the language of the browser", () => {
  expect(resolvePreferences(NO_CHOICES, "en", "en-US")).toEqual({
    language: "en",
    locale: "en-US",
    rateUnit: "bits",
    sizeUnit: "binary",
    clock: "12h",
    timeZone: undefined,
    firstWeekday: "sunday",
  });
  expect(resolvePreferences(NO_CHOICES, "en", "de")).toMatchObject({
    locale: "en-DE",
    clock: "24h",
    firstWeekday: "monday",
  });
});

test("choices of the user come first", () => {
  const chosen = {
    rate_unit: "bytes",
    size_unit: "decimal",
    clock: "24h",
    time_zone: "Asia/Kathmandu",
    first_weekday: "saturday",
  } as const;
  expect(resolvePreferences(chosen, "zh-CN", "en-US")).toEqual({
    language: "zh-CN",
    locale: "zh-CN",
    rateUnit: "bytes",
    sizeUnit: "decimal",
    clock: "24h",
    timeZone: "Asia/Kathmandu",
    firstWeekday: "saturday",
  });
});

test("a time zone that this browser does not know gives way to the browser's", () => {
  const chosen = { ...NO_CHOICES, time_zone: "Mars/Olympus" };
  expect(resolvePreferences(chosen, "en", "en-GB").timeZone).toBeUndefined();
});

test("the week and the clock are those of the region", () => {
  expect(["en-US", "en-GB", "ar-EG", "zh-CN", "de"].map(firstWeekdayOf)).toEqual([
    "sunday",
    "monday",
    "saturday",
    "monday",
    "monday",
  ]);
  expect(["en-US", "en-GB", "zh-CN", "hi-IN", "ja-JP"].map(clockOf)).toEqual([
    "12h",
    "24h",
    "24h",
    "12h",
    "24h",
  ]);
});

test("English dates are those of the region", () => {
  expect([dateLocaleOf("en", "sv-SE"), dateLocaleOf("zh-CN", "en-US")]).toEqual(["en-SE", "zh-CN"]);
});
