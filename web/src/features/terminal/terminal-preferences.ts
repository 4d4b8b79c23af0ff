import { create } from "zustand";
import { persist } from "zustand/middleware";

interface TerminalPreferences {
  fontSize: number; // px
  copyOnSelect: boolean;
  screenReader: boolean;
}

export const MIN_FONT_SIZE = 8; // px
export const MAX_FONT_SIZE = 28; // px

export const useTerminalPreferences = create<TerminalPreferences>()(
  persist((): TerminalPreferences => ({ fontSize: 13, copyOnSelect: true, screenReader: false }), {
    name: "flotilla-terminal",
  }),
);

export function changeFontSize(step: number): void {
  useTerminalPreferences.setState(({ fontSize }) => ({
    fontSize: Math.min(MAX_FONT_SIZE, Math.max(MIN_FONT_SIZE, fontSize + step)),
  }));
}
