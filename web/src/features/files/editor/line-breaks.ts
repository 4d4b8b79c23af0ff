// The line separator of a text. It is CR LF only if every line ends with it, so that mixed line
// ends are saved unchanged.
export function separatorOf(text: string): "\n" | "\r\n" {
  const lines = text.split("\n");
  if (lines.length < 2) return "\n";
  return lines.slice(0, -1).every((line) => line.endsWith("\r")) ? "\r\n" : "\n";
}
