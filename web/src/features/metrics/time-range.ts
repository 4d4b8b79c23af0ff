import { DAY, HOUR } from "@/lib/format/durations";

export const SPANS = {
  "1h": HOUR,
  "6h": 6 * HOUR,
  "24h": DAY,
  "7d": 7 * DAY,
  "30d": 30 * DAY,
  "1y": 365 * DAY,
};
export type Span = keyof typeof SPANS;

export type TimeRange = { span: Span } | { from: number; to: number }; // seconds since the epoch

const DEFAULT: Span = "6h";
const MIN_SPAN = 60; // seconds

function isSpan(text: string | null): text is Span {
  return text !== null && Object.hasOwn(SPANS, text);
}

export function readRange(params: URLSearchParams): TimeRange {
  const from = Date.parse(params.get("from") ?? "") / 1000;
  const to = Date.parse(params.get("to") ?? "") / 1000;
  if (to > from) return { from, to };
  const span = params.get("range");
  return { span: isSpan(span) ? span : DEFAULT };
}

export function writeRange(range: TimeRange): Record<string, string> {
  if ("span" in range) return { range: range.span };
  const iso = (seconds: number) => new Date(Math.round(seconds) * 1000).toISOString();
  return { from: iso(range.from), to: iso(range.to) };
}

export function widenToMinimum(from: number, to: number): { from: number; to: number } {
  const missing = Math.max(0, MIN_SPAN - (to - from)) / 2;
  return { from: from - missing, to: to + missing };
}

// Seconds between two refreshes of a range that ends now: about one new bucket each time.
export function refreshEvery(span: Span): number {
  return Math.max(10, SPANS[span] / 360);
}
