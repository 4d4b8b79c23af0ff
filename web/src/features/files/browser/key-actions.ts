import { all, moved, NOTHING, type Selection, toggled } from "@/features/files/browser/selection";

interface Key {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

export type KeyAction = { selection: Selection } | { act: "open" | "up" | "rename" | "delete" };

const PAGE = 15; // rows
const STEPS: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: PAGE,
  PageUp: -PAGE,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

// The action of a key in the list; null leaves it to the browser.
export function keyAction(
  { key, shiftKey, ctrlKey, metaKey, altKey }: Key,
  selection: Selection,
  names: readonly string[],
  canWrite: boolean,
): KeyAction | null {
  if (altKey) return null;
  const control = ctrlKey || metaKey;
  if (control) {
    return key.toLowerCase() === "a" ? { selection: all(selection, names) } : null;
  }
  const step = STEPS[key];
  if (step !== undefined) return { selection: moved(selection, names, step, shiftKey) };
  switch (key) {
    case "Enter":
      return { act: "open" };
    case "Backspace":
      return { act: "up" };
    case "F2":
      return canWrite ? { act: "rename" } : null;
    case "Delete":
      return canWrite ? { act: "delete" } : null;
    case " ":
      return selection.active === null ? null : { selection: toggled(selection, selection.active) };
    case "Escape":
      return selection.chosen.size > 0
        ? { selection: { ...NOTHING, active: selection.active } }
        : null;
    default:
      return null;
  }
}
