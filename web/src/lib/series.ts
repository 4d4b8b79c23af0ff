import type { History, Sample } from "@/api/vps";

export type Metric = Exclude<keyof History & keyof Sample, "time">;

// What uPlot draws: seconds since the epoch, then one column of values for each line.
// Null ends a line; undefined is where another line has a point and this one goes on.
export type Point = number | null | undefined;
export type Columns = [number[], ...Point[][]];

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export function granularitySeconds(granularity: string): number {
  const [, count = "1", unit = "s"] = /^(\d+)([smhd])$/.exec(granularity) ?? [];
  return Number(count) * (UNIT_SECONDS[unit] ?? 1);
}

// Two points are joined unless both three buckets and three reports are missing between them.
export function longestStep(granularity: number, reportInterval: number): number {
  return 3 * Math.max(granularity, reportInterval);
}

// Puts an empty point into each hole, so that a line ends there instead of bridging it.
export function withGaps(columns: Columns, step: number): Columns {
  const [times, ...lines] = columns;
  const gaps = times.reduce<number[]>((found, time, index) => {
    const before = times[index - 1];
    if (before !== undefined && time - before > step) found.push(index);
    return found;
  }, []);
  if (gaps.length === 0) return columns;
  const spread = <T>(column: readonly T[], filler: (index: number) => T): T[] => {
    const result: T[] = [];
    let from = 0;
    for (const gap of gaps) {
      result.push(...column.slice(from, gap), filler(gap));
      from = gap;
    }
    return result.concat(column.slice(from));
  };
  return [
    spread(times, (index) => ((times[index - 1] ?? 0) + (times[index] ?? 0)) / 2),
    ...lines.map((line) => spread<Point>(line, () => null)),
  ];
}

export function historyColumns(history: History, metrics: readonly Metric[]): Columns {
  return [
    history.time.map((time) => Date.parse(time) / 1000),
    ...metrics.map((metric) => history[metric]),
  ];
}

export function sampleColumns(samples: readonly Sample[], metrics: readonly Metric[]): Columns {
  return [
    samples.map(({ time }) => Date.parse(time) / 1000),
    ...metrics.map((metric) => samples.map((sample) => sample[metric])),
  ];
}

export function joinColumns(before: Columns, after: Columns): Columns {
  const start = after[0][0] ?? Number.POSITIVE_INFINITY;
  const known = before[0].findIndex((time) => time >= start);
  const end = known < 0 ? before[0].length : known;
  return before.map((column, index) => [
    ...column.slice(0, end),
    ...(after[index] ?? []),
  ]) as Columns;
}

export function since(columns: Columns, start: number): Columns {
  const first = columns[0].findIndex((time) => time >= start);
  if (first <= 0) return first === 0 ? columns : (columns.map(() => []) as unknown as Columns);
  return columns.map((column) => column.slice(first)) as Columns;
}

export function lastValue(column: readonly Point[] | undefined): number | null {
  return column?.findLast((value) => value != null) ?? null;
}

// The point there, or the one before it where only others have one.
export function valueAt(line: readonly Point[], index: number): number | null {
  let at = index;
  while (at > 0 && line[at] === undefined) at -= 1;
  return line[at] ?? null;
}

// The median distance of two points, for a series whose interval nobody tells; 0 for none.
export function usualStep(times: readonly number[]): number {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
}

// Lines that have points at times of their own, over the times of all.
export function joinLines(lines: readonly Columns[]): Columns {
  const times = [...new Set(lines.flatMap(([own]) => own))].sort((a, b) => a - b);
  return [
    times,
    ...lines.flatMap(([own, ...columns]) => {
      const places = new Map(own.map((time, index) => [time, index]));
      return columns.map((column) =>
        times.map((time) => {
          const place = places.get(time);
          return place === undefined ? undefined : column[place];
        }),
      );
    }),
  ];
}
