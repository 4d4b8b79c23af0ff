import type { Series, SeriesHistory } from "@/api/series";
import type { Line } from "@/components/ui/plot-options";
import { type Columns, granularitySeconds, longestStep, usualStep, withGaps } from "@/lib/series";

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
  // Names of which nothing has come since.
  silent: readonly string[];
}

// What tells a series from others of its name; where nothing does, all there is.
function labelOf(series: Series, fellows: readonly Series[]): string {
  const keys = Object.keys(series.labels).sort();
  const telling = keys.filter((key) =>
    fellows.some(({ labels }) => labels[key] !== series.labels[key]),
  );
  return (telling.length > 0 ? telling : keys)
    .map((key) => `${key}=${series.labels[key]}`)
    .join(", ");
}

// By name; of each, the series that had a point since `from` (seconds since the epoch).
export function groupSeries(all: readonly Series[], from: number): SeriesGroups {
  const shown: SeriesGroup[] = [];
  const silent: string[] = [];
  const names = [...new Set(all.map(({ name }) => name))].sort();
  for (const name of names) {
    const fellows = all.filter((one) => one.name === name);
    const lines = fellows
      .filter(({ last_time }) => last_time !== null && Date.parse(last_time) / 1000 >= from)
      .map((one) => ({ id: one.id, label: labelOf(one, fellows) || name }))
      .sort((a, b) => a.label.localeCompare(b.label));
    if (lines.length > 0) shown.push({ name, lines });
    else silent.push(name);
  }
  return { shown, silent };
}

export function seriesColumns(history: SeriesHistory): Columns {
  const times = history.time.map((time) => Date.parse(time) / 1000);
  const step = longestStep(granularitySeconds(history.granularity), usualStep(times));
  return withGaps([times, history.value], step);
}
