// Characters that act instead of being text: controls, and those that turn the direction of writing
// so that a line reads differently from what it does.
const ACTING = /(?![\t\n])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu;

export const LONGEST_PASTE = 256 * 1024; // characters

export interface Paste {
  // As it is pasted: without what acts, lines ended by \n.
  text: string;
  lines: number;
  // Characters taken out.
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
    tooLong: text.length > LONGEST_PASTE,
  };
}

// A line break runs what stands before it; only a piece of one line is pasted without a word.
export function needsAsking({ text, removed, tooLong }: Paste): boolean {
  return tooLong || removed > 0 || text.includes("\n");
}
