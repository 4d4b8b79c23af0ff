import type { ITheme } from "@xterm/xterm";

// The sixteen terminal colours in the hues of the console. xterm.js raises the contrast of text
// that is too faint.
const DARK = {
  black: "#3b4554",
  red: "#f0555a",
  green: "#22b07d",
  yellow: "#d99a1c",
  blue: "#4f9cf9",
  magenta: "#b07cf5",
  cyan: "#2bb3c0",
  white: "#c3cad5",
  brightBlack: "#7f8a9a",
  brightRed: "#ff7a7e",
  brightGreen: "#4fcf9f",
  brightYellow: "#efb94a",
  brightBlue: "#7db6fb",
  brightMagenta: "#c9a2fa",
  brightCyan: "#5fd0da",
  brightWhite: "#ffffff",
};

const LIGHT: typeof DARK = {
  black: "#141a22",
  red: "#cf2f35",
  green: "#0f7d56",
  yellow: "#956200",
  blue: "#1769d6",
  magenta: "#7c3fd0",
  cyan: "#0b7285",
  white: "#d5dce4",
  brightBlack: "#667180",
  brightRed: "#b3262c",
  brightGreen: "#0b6345",
  brightYellow: "#7a5000",
  brightBlue: "#0f57b8",
  brightMagenta: "#6531b5",
  brightCyan: "#085d6d",
  brightWhite: "#ffffff",
};

export const MINIMUM_CONTRAST = 4.5; // WCAG AA

export function terminalTheme(dark: boolean): ITheme {
  const tokens = getComputedStyle(document.documentElement);
  const token = (name: string) => tokens.getPropertyValue(name).trim();
  const accent = token("--accent");
  return {
    ...(dark ? DARK : LIGHT),
    background: token("--pane"),
    foreground: token("--ink"),
    cursor: accent,
    cursorAccent: token("--pane"),
    selectionBackground: `${accent}55`,
    selectionInactiveBackground: `${accent}33`,
  };
}
