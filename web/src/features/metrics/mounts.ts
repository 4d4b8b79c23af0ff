import type { DiskHistory } from "@/api/series";
import { type PlotData, withPlotGaps } from "@/components/plot/spread";
import { COLORS } from "@/features/metrics/custom-series";
import { type Columns, granularitySeconds, lastValue, maxStep } from "@/lib/columns";

export interface Mounts {
  names: readonly string[];
  data: PlotData;
}

// Usage of the fullest mounts in per cent, sorted by name; as many as there are colours.
export function fullestMounts(history: DiskHistory, interval: number): Mounts {
  const mounts = history.mounts
    .map(({ mount_point, used, total }) => ({
      name: mount_point,
      percent: used.map((bytes, at) => {
        const whole = total[at];
        return bytes !== null && whole ? (bytes / whole) * 100 : null;
      }),
    }))
    .sort((a, b) => (lastValue(b.percent) ?? 0) - (lastValue(a.percent) ?? 0))
    .slice(0, COLORS.length)
    .sort((a, b) => a.name.localeCompare(b.name));
  const columns: Columns = [
    history.time.map((time) => Date.parse(time) / 1000),
    ...mounts.map(({ percent }) => percent),
  ];
  return {
    names: mounts.map(({ name }) => name),
    data: withPlotGaps(
      { columns, spreads: mounts.map(() => null) },
      maxStep(granularitySeconds(history.granularity), interval),
    ),
  };
}
