import type { History, Sample } from "@/api/vps";
import { type PlotData, type Spread, spreadOf } from "@/components/plot/spread";
import type { Columns } from "@/lib/columns";

export type Metric = Exclude<keyof History & keyof Sample, "time">;

export function historyColumns(history: History, metrics: readonly Metric[]): Columns {
  return [
    history.time.map((time) => Date.parse(time) / 1000),
    ...metrics.map((metric) => history[metric] ?? history.time.map(() => null)),
  ];
}

type Aggregate = "min" | "max" | "p95";
type Column = readonly (number | null)[] | undefined;

// The spreads of the samples in each bucket, for metrics whose aggregates were requested and are
// stored.
export function historySpreads(history: History, metrics: readonly Metric[]): (Spread | null)[] {
  const column = (metric: Metric, aggregate: Aggregate): Column =>
    history[`${metric}_${aggregate}` as keyof History] as Column;
  return metrics.map((metric) => {
    const [low, high] = [column(metric, "min"), column(metric, "max")];
    return low && high ? spreadOf(low, high, column(metric, "p95") ?? null) : null;
  });
}

// True if there is a value of any of the lines.
export function hasValues({ columns: [, ...lines] }: PlotData): boolean {
  return lines.some((line) => line.some((value) => value != null));
}

export function sampleColumns(samples: readonly Sample[], metrics: readonly Metric[]): Columns {
  return [
    samples.map(({ time }) => Date.parse(time) / 1000),
    ...metrics.map((metric) => samples.map((sample) => sample[metric])),
  ];
}
