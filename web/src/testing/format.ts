import { createFormat, type Format } from "@/lib/format/format";
import { type FormatPreferences, NO_CHOICES, resolvePreferences } from "@/lib/format/preferences";

// The format of an English console in Britain and UTC, with some preferences changed.
export function testFormat(changes: Partial<FormatPreferences> = {}): Format {
  const preferences = resolvePreferences({ ...NO_CHOICES, time_zone: "UTC" }, "en", "en-GB");
  return createFormat({ ...preferences, ...changes });
}
