import { create } from "zustand";
import { persist } from "zustand/middleware";

export type Theme = "light" | "dark" | "system";
export type Language = "en" | "zh-CN";

interface Preferences {
  theme: Theme;
  language: Language;
  fleetView: "cards" | "table";
}

function preferredLanguage(): Language {
  return navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

export const usePreferences = create<Preferences>()(
  persist(
    (): Preferences => ({ theme: "system", language: preferredLanguage(), fleetView: "cards" }),
    { name: "flotilla-preferences" },
  ),
);
