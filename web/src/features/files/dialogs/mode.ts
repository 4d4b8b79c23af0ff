import type { FileEntry } from "@/api/files";

const KINDS = { file: "-", directory: "d", link: "l", other: "?" } as const;
export const SET_USER = 0o4000;
export const SET_GROUP = 0o2000;
export const STICKY = 0o1000;
export const MODE_BITS = 0o7777;

export const WHOSE = ["owner", "group", "others"] as const;
export const WHAT = ["read", "write", "execute"] as const;
export type Whose = (typeof WHOSE)[number];
export type What = (typeof WHAT)[number];

export function bitOf(whose: Whose, what: What): number {
  return (0o4 >> WHAT.indexOf(what)) << (3 * (2 - WHOSE.indexOf(whose)));
}

function letters(bits: number, special: boolean, mark: "s" | "t"): string {
  const execute = (bits & 1) !== 0;
  const last = special ? (execute ? mark : mark.toUpperCase()) : execute ? "x" : "-";
  return (bits & 4 ? "r" : "-") + (bits & 2 ? "w" : "-") + last;
}

// The mode as `ls -l` shows it.
export function modeText(mode: number, kind: FileEntry["kind"]): string {
  return (
    KINDS[kind] +
    letters((mode >> 6) & 7, (mode & SET_USER) !== 0, "s") +
    letters((mode >> 3) & 7, (mode & SET_GROUP) !== 0, "s") +
    letters(mode & 7, (mode & STICKY) !== 0, "t")
  );
}

export function octal(mode: number): string {
  return (mode & MODE_BITS).toString(8).padStart(mode > 0o777 ? 4 : 3, "0");
}

// Returns null for text that is not a mode.
export function parseOctal(text: string): number | null {
  return /^[0-7]{1,4}$/.test(text.trim()) ? Number.parseInt(text.trim(), 8) : null;
}
