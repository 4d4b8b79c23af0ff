import type { Series, SeriesHistory } from "@/api/series";
import type { Line } from "@/components/plot/plot-options";
import { type PlotData, spreadOf } from "@/components/plot/spread";
import {
  type Columns,
  granularitySeconds,
  joinLines,
  maxStep,
  type Point,
  usualStep,
  withGaps,
} from "@/lib/columns";

export const COLORS: readonly Line["color"][] = ["accent", "violet", "ok", "warn", "faint"];

export interface SeriesLine {
  id: number;
  label: string;
}

export interface SeriesGroup {
  name: string;
  lines: readonly SeriesLine[];
}

export interface SeriesGroups {
  shown: readonly SeriesGroup[];
  // Names without data in the time range.
  silent: readonly string[];
}

// The labels that distinguish a series from others of its name, or all labels if none does.
function labelOf(series: Series, sameName: readonly Series[]): string {
  const keys = Object.keys(series.labels).sort();
  const distinguishing = keys.filter((key) =>
    sameName.some(({ labels }) => labels[key] !== series.labels[key]),
  );
  return (distinguishing.length > 0 ? distinguishing : keys)
    .map((key) => `${key}=${series.labels[key]}`)
    .join(", ");
}

// Group series by name, and keep those with a point since `from` (seconds since the epoch).
export function groupSeries(all: readonly Series[], from: number): SeriesGroups {
  const shown: SeriesGroup[] = [];
  const silent: string[] = [];
  const names = [...new Set(all.map(({ name }) => name))].sort();
  for (const name of names) {
    const sameName = all.filter((one) => one.name === name);
    const lines = sameName
      .filter(({ last_time }) => last_time !== null && Date.parse(last_time) / 1000 >= from)
      .map((one) => ({ id: one.id, label: labelOf(one, sameName) || name }))
      .sort((a, b) => a.label.localeCompare(b.label));
    if (lines.length > 0) shown.push({ name, lines });
    else silent.push(name);
  }
  return { shown, silent };
}

// The times, averages, minima and maxima of a series, interrupted where points are missing.
export function seriesColumns({ granularity, time, value, min, max }: SeriesHistory): Columns {
  const times = time.map((text) => Date.parse(text) / 1000);
  const step = maxStep(granularitySeconds(granularity), usualStep(times));
  return withGaps([times, value, min, max], step);
}

const NOTHING: Columns = [[], [], [], []];

// Several series in one chart; one that is not loaded yet has no points.
export function seriesData(histories: readonly (SeriesHistory | undefined)[]): PlotData {
  const joined = joinLines(
    histories.map((history) => (history ? seriesColumns(history) : NOTHING)),
  );
  const column = (series: number, at: number): Point[] =>
    (joined[1 + 3 * series + at] as Point[] | undefined) ?? [];
  return {
    columns: [joined[0], ...histories.map((_, series) => column(series, 0))],
    spreads: histories.map((_, series) => spreadOf(column(series, 1), column(series, 2), null)),
  };
}
