// As ASCII calls them, from 0 on.
const NAMES =
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(
    " ",
  );
const DELETE = 0x7f;
// Controls but the tab, line and paragraph separators, marks that turn or hide what follows.
const UNSEEN = /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu;

function named(character: string): string {
  const code = character.charCodeAt(0);
  if (code === DELETE) return "‹DEL›";
  return `‹${NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}›`;
}

// A name or line as a server told it, with all in it that an eye would not see made visible.
export function visible(text: string): string {
  return text.replace(UNSEEN, named);
}
