import { type Columns, lastValue, type Point, usualStep, withGaps } from "@/lib/columns";

// The lowest, the highest and the 95th percentile of the samples in each bucket of a line. Buckets
// with a single sample have none.
export interface Spread {
  low: Point[];
  high: Point[];
  p95: Point[] | null;
}

export interface PlotData {
  columns: Columns;
  // One per line.
  spreads: readonly (Spread | null)[];
}

export type SpreadKind = "none" | "range" | "p95";

// Positions among the series of a chart. Series 0 is the time.
export interface SpreadPlace {
  line: number;
  low: number;
  high: number;
  p95: number | null;
}

export interface Figures {
  last: number | null;
  average: number | null;
  max: number | null;
}

const CURRENT = 120; // seconds

export function spreadOf(
  low: readonly Point[],
  high: readonly Point[],
  p95: readonly Point[] | null,
): Spread | null {
  const wide = low.map((value, at) => {
    const top = high[at];
    return value != null && top != null && top > value;
  });
  if (!wide.includes(true)) return null;
  const kept = (column: readonly Point[]) =>
    column.map((value, at) => (value === undefined || wide[at] ? value : null));
  return { low: kept(low), high: kept(high), p95: p95 && kept(p95) };
}

// All columns in the order of the chart's series.
export function flatColumns({ columns, spreads }: PlotData): Columns {
  const more = spreads.flatMap((spread) =>
    spread ? [spread.low, spread.high, ...(spread.p95 ? [spread.p95] : [])] : [],
  );
  return [...columns, ...more];
}

export function spreadKinds(spreads: PlotData["spreads"]): SpreadKind[] {
  return spreads.map((spread) => (spread === null ? "none" : spread.p95 ? "p95" : "range"));
}

export function spreadPlaces(kinds: readonly SpreadKind[]): SpreadPlace[] {
  const places: SpreadPlace[] = [];
  let next = kinds.length + 1;
  kinds.forEach((kind, at) => {
    if (kind === "none") return;
    const p95 = kind === "p95" ? next + 2 : null;
    places.push({ line: at + 1, low: next, high: next + 1, p95 });
    next += p95 === null ? 2 : 3;
  });
  return places;
}

// Interrupt the lines and their spreads where no point follows within `step` seconds.
export function withPlotGaps(data: PlotData, step: number): PlotData {
  const flat = withGaps(flatColumns(data), step);
  const places = spreadPlaces(spreadKinds(data.spreads));
  const column = (at: number): Point[] => (flat[at] as Point[] | undefined) ?? [];
  return {
    columns: flat.slice(0, data.columns.length) as Columns,
    spreads: data.spreads.map((_, at) => {
      const place = places.find(({ line }) => line === at + 1);
      if (!place) return null;
      const { low, high, p95 } = place;
      return { low: column(low), high: column(high), p95: p95 === null ? null : column(p95) };
    }),
  };
}

// The newest value of a line, its average, and the highest sample.
export function figuresOf(line: readonly Point[], spread: Spread | null): Figures {
  let [count, average, max] = [0, 0, Number.NEGATIVE_INFINITY];
  line.forEach((value, at) => {
    if (value == null) return;
    count += 1;
    // Not a sum, which may overflow.
    average += (value - average) / count;
    max = Math.max(max, value, spread?.high[at] ?? value);
  });
  return count === 0
    ? { last: null, average: null, max: null }
    : { last: lastValue(line), average, max };
}

// True if the newest point describes the present.
export function isCurrent(times: readonly number[], now: number): boolean {
  const newest = times.at(-1);
  return newest !== undefined && now - newest <= Math.max(CURRENT, 3 * usualStep(times));
}
