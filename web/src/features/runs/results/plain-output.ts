// Escape sequences: CSI, OSC and the short ones.
const SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these sequences begin and end with them
  /[\u001b\u009b](?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/gu;
const OTHERS = /(?![\t\n])\p{Cc}/gu;

// Convert the output of a script to plain text: without escape sequences, and with each update of a
// progress line on its own line.
export function plainOutput(text: string): string {
  return text
    .replace(SEQUENCES, "")
    .replace(/\r+\n/g, "\n")
    .replace(/\r/g, "\n")
    .replace(OTHERS, "\ufffd");
}
