// Sequences that colour, move and title: CSI, OSC and the short ones.
const SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these sequences begin and end with them
  /[\u001b\u009b](?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/gu;
const OTHERS = /(?![\t\n])\p{Cc}/gu;

// A script's output as text to read: without what only a terminal would act on, and with progress
// that overwrote itself on lines of its own.
export function plainOutput(text: string): string {
  return text
    .replace(SEQUENCES, "")
    .replace(/\r+\n/g, "\n")
    .replace(/\r/g, "\n")
    .replace(OTHERS, "\ufffd");
}
