// How a text's lines end: only where all end with CR LF is that their separator, so that whatever
// else is in the file goes back as it came.
export function separatorOf(text: string): "\n" | "\r\n" {
  const lines = text.split("\n");
  if (lines.length < 2) return "\n";
  return lines.slice(0, -1).every((line) => line.endsWith("\r")) ? "\r\n" : "\n";
}
