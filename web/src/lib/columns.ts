// The data of a uPlot chart: seconds since the epoch, then one column of values per line. Null
// interrupts a line; undefined means that only another line has a point there.
export type Point = number | null | undefined;
export type Columns = [number[], ...Point[][]];

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export function granularitySeconds(granularity: string): number {
  const [, count = "1", unit = "s"] = /^(\d+)([smhd])$/.exec(granularity) ?? [];
  return Number(count) * (UNIT_SECONDS[unit] ?? 1);
}

// The longest distance between two points that are joined: three buckets or three reports,
// whichever is longer.
export function maxStep(granularity: number, reportInterval: number): number {
  return 3 * Math.max(granularity, reportInterval);
}

// Insert an empty point into each gap, so that the line is interrupted there.
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

export function joinColumns(before: Columns, after: Columns): Columns {
  const start = after[0][0] ?? Number.POSITIVE_INFINITY;
  const known = before[0].findIndex((time) => time >= start);
  const end = known < 0 ? before[0].length : known;
  return before.map((column, index) => [
    ...column.slice(0, end),
    ...(after[index] ?? []),
  ]) as Columns;
}

export function dropBefore(columns: Columns, start: number): Columns {
  const first = columns[0].findIndex((time) => time >= start);
  if (first <= 0) return first === 0 ? columns : (columns.map(() => []) as unknown as Columns);
  return columns.map((column) => column.slice(first)) as Columns;
}

export function lastValue(column: readonly Point[] | undefined): number | null {
  return column?.findLast((value) => value != null) ?? null;
}

// The value at an index, or the one before it if only other lines have a point there.
export function valueAt(line: readonly Point[], index: number): number | null {
  let at = index;
  while (at > 0 && line[at] === undefined) at -= 1;
  return line[at] ?? null;
}

// Points without a neighbour to be joined with.
export function loneIndices(line: readonly Point[]): number[] {
  const present = line.flatMap((value, at) => (value === undefined ? [] : [at]));
  return present.filter(
    (at, place) =>
      line[at] !== null &&
      line[present[place - 1] ?? -1] == null &&
      line[present[place + 1] ?? -1] == null,
  );
}

// The median distance between points, for series with an unknown interval; 0 without points.
export function usualStep(times: readonly number[]): number {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
}

// Join lines with different times into one set of columns over all times.
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
