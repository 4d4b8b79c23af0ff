import type { ContainerLogLine as RawLine } from "@/api/docker";

export interface LogLine extends RawLine {
  id: number;
  // True if lines may be missing before this one.
  gap: boolean;
}

export interface Log {
  lines: readonly LogLine[];
  characters: number;
  // Id of the newest line.
  id: number;
  // Number of lines discarded to stay within the bounds.
  dropped: number;
}

export const MAX_LINES = 20_000;
const MAX_CHARACTERS = 16_000_000; // lines may be long

export const EMPTY_LOG: Log = { lines: [], characters: 0, id: 0, dropped: 0 };

// Colour sequences are removed. Every other escape character stays and is shown as one.
const ESCAPE = String.fromCharCode(0x1b);
const COLOUR = new RegExp(`${ESCAPE}\\[[\\d;]*m`, "g");

export function appended(log: Log, incoming: readonly RawLine[], gap = false): Log {
  if (incoming.length === 0) return log;
  const newest = incoming.slice(-MAX_LINES);
  let { id, characters } = log;
  const added = newest.map((line, index): LogLine => {
    const text = line.text.replace(COLOUR, "");
    characters += text.length;
    id += 1;
    return { ...line, text, id, gap: gap && index === 0 };
  });
  const lines = log.lines.concat(added);
  let excess = Math.max(0, lines.length - MAX_LINES);
  for (let index = 0; index < excess; index += 1) characters -= lines[index]?.text.length ?? 0;
  while (characters > MAX_CHARACTERS && excess < lines.length - 1) {
    characters -= lines[excess]?.text.length ?? 0;
    excess += 1;
  }
  const dropped = log.dropped + excess + (incoming.length - newest.length);
  return { lines: excess > 0 ? lines.slice(excess) : lines, characters, id, dropped };
}

const PARTS = /^(.*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

function exactly(time: string): [number, string] {
  const [, whole = time, fraction = "", zone = "Z"] = PARTS.exec(time) ?? [];
  return [Date.parse(whole + zone), fraction.padEnd(9, "0")];
}

// Docker reports nanoseconds, but a Date holds milliseconds only.
export function isLater(time: string, than: string): boolean {
  const [second, fraction] = exactly(time);
  const [thanSecond, thanFraction] = exactly(than);
  return second === thanSecond ? fraction > thanFraction : second > thanSecond;
}

// Return the lines of a repeated tail that are newer than the last known line.
export function newLines(incoming: readonly RawLine[], last: string | null): readonly RawLine[] {
  if (last === null) return incoming;
  const first = incoming.findIndex(({ time }) => time !== null && isLater(time, last));
  return first < 0 ? [] : incoming.slice(first);
}

export interface Search {
  term: string;
  onlyMatches: boolean;
}

export interface Found {
  shown: readonly LogLine[];
  // Indexes into `shown`.
  matches: readonly number[];
}

const NOTHING: readonly number[] = [];

export function found(lines: readonly LogLine[], { term, onlyMatches }: Search): Found {
  if (term === "") return { shown: lines, matches: NOTHING };
  const lowerTerm = term.toLowerCase();
  const matches: number[] = [];
  lines.forEach(({ text }, index) => {
    if (text.toLowerCase().includes(lowerTerm)) matches.push(index);
  });
  if (!onlyMatches) return { shown: lines, matches };
  const shown = matches.flatMap((index) => lines[index] ?? []);
  return { shown, matches: shown.map((_, index) => index) };
}

// Split the text at the matches; every second part is a match.
export function split(text: string, term: string): string[] {
  if (term === "") return [text];
  const lowerTerm = term.toLowerCase();
  const lower = text.toLowerCase();
  // Some letters change their length with their case. Marking nothing is better than marking the
  // wrong text.
  if (lower.length !== text.length) return [text];
  const pieces: string[] = [];
  let from = 0;
  for (let at = lower.indexOf(lowerTerm); at >= 0; at = lower.indexOf(lowerTerm, from)) {
    pieces.push(text.slice(from, at), text.slice(at, at + lowerTerm.length));
    from = at + lowerTerm.length;
  }
  pieces.push(text.slice(from));
  return pieces;
}

export function asText(lines: readonly LogLine[]): string {
  return lines.map(({ time, stream, text }) => `${time ?? "-"} ${stream} ${text}\n`).join("");
}
