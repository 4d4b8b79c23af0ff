// Control characters, and characters that change the direction of writing, which can make a line look
// different from what it does.
const ACTING = /(?![\t\n])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu;

export const MAX_PASTE_LENGTH = 256 * 1024; // characters

export interface Paste {
  // The text to paste: without control characters, and with \n as line break.
  text: string;
  lines: number;
  // Number of characters that were removed.
  removed: number;
  tooLong: boolean;
}

export function inspectPaste(raw: string): Paste {
  const plain = raw.replace(/\r\n?/g, "\n");
  const text = plain.replace(ACTING, "");
  return {
    text,
    lines: text.replace(/\n$/, "").split("\n").length,
    removed: plain.length - text.length,
    tooLong: text.length > MAX_PASTE_LENGTH,
  };
}

// True unless the text is a single plain line: a line break executes the text before it.
export function needsAsking({ text, removed, tooLong }: Paste): boolean {
  return tooLong || removed > 0 || text.includes("\n");
}
