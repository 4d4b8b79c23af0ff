import type { DiskHistory } from "@/api/series";
import { COLORS } from "@/features/server/custom-series";
import { type Columns, granularitySeconds, lastValue, longestStep, withGaps } from "@/lib/series";

export interface Mounts {
  names: readonly string[];
  columns: Columns;
}

// Per cent of the fullest mounts, as many as there are colours, by name.
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
    columns: withGaps(columns, longestStep(granularitySeconds(history.granularity), interval)),
  };
}
