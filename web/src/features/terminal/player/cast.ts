// asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/

export type Frame = { at: number; output: string } | { at: number; columns: number; rows: number };

export interface Cast {
  columns: number;
  rows: number;
  // Seconds of playback, with shortened pauses.
  duration: number;
  frames: readonly Frame[];
}

// The file is not a recording that this console can play.
export class CastError extends Error {
  override readonly name = "CastError";
}

export const MAX_WAIT = 2; // seconds
const MAX_COLUMNS = 1000;
const MAX_ROWS = 500;

interface Size {
  columns: number;
  rows: number;
}

function sizeOf(columns: unknown, rows: unknown): Size | null {
  const [width, height] = [Number(columns), Number(rows)];
  const valid = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!valid) return null;
  return { columns: Math.min(width, MAX_COLUMNS), rows: Math.min(height, MAX_ROWS) };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function readHeader(line: string): Size {
  const header = parsed(line) as { version?: unknown; width?: unknown; height?: unknown } | null;
  const size = header?.version === 2 ? sizeOf(header.width, header.height) : null;
  if (!size) throw new CastError("not an asciicast v2 recording");
  return size;
}

function readEvent(line: string): Frame | null {
  const event = parsed(line);
  if (!Array.isArray(event)) return null;
  const [at, kind, data] = event as unknown[];
  if (typeof at !== "number" || typeof data !== "string") return null;
  if (kind === "o") return { at, output: data };
  const size = kind === "r" ? sizeOf(...(data.split("x") as [string, string])) : null;
  return size && { at, ...size };
}

// Parse a recording. Pauses are shortened to `longestWait` seconds. A line that is cut off or
// unknown is skipped: a recording may end in the middle of a line if its writer was killed.
export function parseCast(text: string, longestWait: number = MAX_WAIT): Cast {
  const [header = "", ...lines] = text.split("\n");
  const frames: Frame[] = [];
  let recorded = 0;
  let played = 0;
  for (const line of lines) {
    const frame = readEvent(line);
    if (!frame) continue;
    const wait = Math.min(Math.max(0, frame.at - recorded), longestWait);
    recorded = Math.max(recorded, frame.at);
    played += wait;
    frames.push({ ...frame, at: played });
  }
  return { ...readHeader(header), duration: played, frames };
}
