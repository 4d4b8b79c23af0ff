export type ScreenKey = "escape" | "tab" | "up" | "down" | "left" | "right";

const ARROWS = { up: "A", down: "B", right: "C", left: "D" } as const;

// The bytes that a terminal sends for a key. Programs may ask for arrow keys in application mode.
export function bytesOf(key: ScreenKey, applicationCursor: boolean): string {
  if (key === "escape") return "\u001b";
  if (key === "tab") return "\t";
  return `\u001b${applicationCursor ? "O" : "["}${ARROWS[key]}`;
}

// The control character that Ctrl and this character make on a keyboard.
export function withControl(typed: string): string {
  if (typed === " ") return "\u0000";
  const code = typed.toUpperCase().charCodeAt(0);
  return typed.length === 1 && code >= 0x40 && code <= 0x5f
    ? String.fromCharCode(code & 0x1f)
    : typed;
}
