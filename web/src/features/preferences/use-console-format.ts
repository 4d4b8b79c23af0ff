import { useMemo } from "react";
import { languageOf, usePreferences } from "@/features/preferences/preferences";
import { createFormat, type Format } from "@/lib/format/format";
import { resolvePreferences } from "@/lib/format/preferences";

// How numbers and times are written: as the user chose, otherwise by the language of the browser.
export function useConsoleFormat(): Format {
  const preferences = usePreferences();
  const language = languageOf(preferences);
  const { rate_unit, size_unit, clock, time_zone, first_weekday } = preferences;
  return useMemo(
    () =>
      createFormat(
        resolvePreferences(
          { rate_unit, size_unit, clock, time_zone, first_weekday },
          language,
          navigator.language,
        ),
      ),
    [language, rate_unit, size_unit, clock, time_zone, first_weekday],
  );
}
