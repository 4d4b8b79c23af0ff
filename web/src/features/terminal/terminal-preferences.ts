import { create } from "zustand";
import { persist } from "zustand/middleware";

interface TerminalPreferences {
  fontSize: number; // px
  copyOnSelect: boolean;
  screenReader: boolean;
}

export const SMALLEST_FONT = 8; // px
export const LARGEST_FONT = 28; // px

export const useTerminalPreferences = create<TerminalPreferences>()(
  persist((): TerminalPreferences => ({ fontSize: 13, copyOnSelect: true, screenReader: false }), {
    name: "flotilla-terminal",
  }),
);

export function changeFontSize(step: number): void {
  useTerminalPreferences.setState(({ fontSize }) => ({
    fontSize: Math.min(LARGEST_FONT, Math.max(SMALLEST_FONT, fontSize + step)),
  }));
}
