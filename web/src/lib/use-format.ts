import { createContext, useContext } from "react";
import { createFormat, type Format } from "@/lib/format/format";
import { NO_CHOICES, resolvePreferences } from "@/lib/format/preferences";

const ConsoleFormat = createContext<Format>(
  createFormat(resolvePreferences(NO_CHOICES, "en", "en-GB")),
);

export const FormatProvider = ConsoleFormat.Provider;

// How this user wants numbers and times to be written.
export function useFormat(): Format {
  return useContext(ConsoleFormat);
}
