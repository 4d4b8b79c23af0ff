import { create } from "zustand";
import { persist } from "zustand/middleware";
import { useSession } from "@/api/session";
import { type Choices as FormatChoices, NO_CHOICES } from "@/lib/format/preferences";

export type Theme = "light" | "dark" | "system";
export type Language = "en" | "zh-CN";

// What a user can choose. The gateway stores it; null where the user chose nothing.
export interface Choices extends FormatChoices {
  theme: Theme | null;
  language: Language | null;
}

// The copy in this browser, so that the first paint is right.
export interface Preferences extends FormatChoices {
  theme: Theme;
  // Null where the language of the browser decides.
  language: Language | null;
  // Depends on the screen, so that it stays in this browser.
  fleetView: "cards" | "table";
  // The id of the user whose choices these are. Null before the first log-in.
  owner: string | null;
  // Choices that the gateway has not stored yet.
  unsaved: readonly (keyof Choices)[];
}

export const STORAGE = "flotilla-preferences"; // theme.js reads it too

// The language that the user chose, or the browser's.
export function languageOf({ language }: Pick<Preferences, "language">): Language {
  if (language !== null) return language;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

export const usePreferences = create<Preferences>()(
  persist(
    (): Preferences => ({
      ...NO_CHOICES,
      theme: "system",
      language: null,
      fleetView: "cards",
      owner: null,
      unsaved: [],
    }),
    { name: STORAGE },
  ),
);

// Apply choices at once. They are saved as soon as the gateway can be reached.
export function choose(changes: Partial<FormatChoices> & { theme?: Theme; language?: Language }) {
  usePreferences.setState(({ owner, unsaved }) => ({
    ...changes,
    // A choice on the log-in page belongs to whoever logs in next.
    owner: useSession.getState().phase === "in" ? owner : null,
    unsaved: [...new Set([...unsaved, ...(Object.keys(changes) as (keyof Choices)[])])],
  }));
}
