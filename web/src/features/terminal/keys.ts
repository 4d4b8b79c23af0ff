export type ScreenKey = "escape" | "tab" | "up" | "down" | "left" | "right";

const ARROWS = { up: "A", down: "B", right: "C", left: "D" } as const;

// What a terminal sends for a key; programs may ask for arrows in their application form.
export function bytesOf(key: ScreenKey, applicationCursor: boolean): string {
  if (key === "escape") return "\u001b";
  if (key === "tab") return "\t";
  return `\u001b${applicationCursor ? "O" : "["}${ARROWS[key]}`;
}

// The control character of a typed one, as a hardware keyboard's Ctrl would make it.
export function withControl(typed: string): string {
  if (typed === " ") return "\u0000";
  const code = typed.toUpperCase().charCodeAt(0);
  return typed.length === 1 && code >= 0x40 && code <= 0x5f
    ? String.fromCharCode(code & 0x1f)
    : typed;
}
