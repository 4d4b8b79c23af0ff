// The ASCII names of the control characters from 0 on.
const NAMES =
  "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(
    " ",
  );
const DELETE = 0x7f;
// Characters that stand for bytes from 0x80 on in file names that are not UTF-8. Agents send them.
const FIRST_BYTE = 0xef80;
const LAST_BYTE = 0xefff;
// Control characters except the tab, separators of lines and paragraphs, marks that hide text or
// change its direction, and bytes that are not UTF-8.
const UNSEEN =
  /(?!\t)[\p{Cc}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\uef80-\uefff]/gu;

function named(character: string): string {
  const code = character.charCodeAt(0);
  if (code === DELETE) return "‹DEL›";
  if (code >= FIRST_BYTE && code <= LAST_BYTE) return `‹\\x${(code & 0xff).toString(16)}›`;
  return `‹${NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`}›`;
}

// Replace invisible characters in a text from a server by visible names.
export function escapeInvisible(text: string): string {
  return text.replace(UNSEEN, named);
}
