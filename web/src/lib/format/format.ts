import { type NumberFormat, numberFormat } from "@/lib/format/numbers";
import type { FormatPreferences } from "@/lib/format/preferences";
import { type SizeFormat, sizeFormat } from "@/lib/format/sizes";
import { type TimeFormat, timeFormat } from "@/lib/format/times";

// Everything that writes a number or a time. No page writes one by itself.
export interface Format extends NumberFormat, SizeFormat, TimeFormat {
  preferences: FormatPreferences;
}

export function createFormat(preferences: FormatPreferences): Format {
  const { language, rateUnit, sizeUnit } = preferences;
  return {
    preferences,
    ...numberFormat(language),
    ...sizeFormat(rateUnit, sizeUnit),
    ...timeFormat(preferences),
  };
}
