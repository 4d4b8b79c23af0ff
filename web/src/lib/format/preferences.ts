export type RateUnit = "bits" | "bytes";
export type SizeUnit = "binary" | "decimal";
export type Clock = "24h" | "12h";
export type Weekday = "monday" | "saturday" | "sunday";

// All that decides how the console writes numbers and times.
export interface FormatPreferences {
  // Of numbers and words.
  language: string;
  // Of dates: the language with the region of the browser, such as "en-GB".
  locale: string;
  rateUnit: RateUnit;
  sizeUnit: SizeUnit;
  clock: Clock;
  // An IANA name; undefined for the time zone of the browser.
  timeZone: string | undefined;
  firstWeekday: Weekday;
}

// Null where the user chose nothing.
export interface Choices {
  rate_unit: RateUnit | null;
  size_unit: SizeUnit | null;
  clock: Clock | null;
  time_zone: string | null;
  first_weekday: Weekday | null;
}

export const NO_CHOICES: Choices = {
  rate_unit: null,
  size_unit: null,
  clock: null,
  time_zone: null,
  first_weekday: null,
};

const WEEKDAYS: Partial<Record<number, Weekday>> = { 6: "saturday", 7: "sunday" };

type WeekLocale = Intl.Locale & {
  getWeekInfo?: () => { firstDay: number };
  weekInfo?: { firstDay: number };
};

// Monday if the browser does not tell.
export function firstWeekdayOf(tag: string): Weekday {
  const locale: WeekLocale = new Intl.Locale(tag).maximize();
  const info = locale.getWeekInfo?.() ?? locale.weekInfo;
  return WEEKDAYS[info?.firstDay ?? 1] ?? "monday";
}

export function clockOf(tag: string): Clock {
  const { hourCycle } = new Intl.DateTimeFormat(tag, { hour: "numeric" }).resolvedOptions();
  return hourCycle === "h11" || hourCycle === "h12" ? "12h" : "24h";
}

// English dates differ between regions. Chinese ones do not, and not every region has them.
export function dateLocaleOf(language: string, tag: string): string {
  const { region } = new Intl.Locale(tag).maximize();
  return language === "en" && region ? `en-${region}` : language;
}

// True if this browser knows the time zone. Another one may know more.
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

// Complete the choices of the user by the language of the browser, such as "en-US".
export function resolvePreferences(
  choices: Choices,
  language: string,
  tag: string,
): FormatPreferences {
  const { rate_unit, size_unit, clock, time_zone, first_weekday } = choices;
  return {
    language,
    locale: dateLocaleOf(language, tag),
    rateUnit: rate_unit ?? "bits",
    sizeUnit: size_unit ?? "binary",
    clock: clock ?? clockOf(tag),
    timeZone: time_zone !== null && isTimeZone(time_zone) ? time_zone : undefined,
    firstWeekday: first_weekday ?? firstWeekdayOf(tag),
  };
}
