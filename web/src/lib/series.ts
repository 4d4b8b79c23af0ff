import type { History, Sample } from "@/api/vps";

export type Metric = Exclude<keyof History & keyof Sample, "time">;

// What uPlot draws: seconds since the epoch, then one column of values for each line.
export type Columns = [number[], ...(number | null)[][]];

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
    ...lines.map((line) => spread<number | null>(line, () => null)),
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

export function lastValue(column: readonly (number | null)[] | undefined): number | null {
  return column?.findLast((value) => value !== null) ?? null;
}
