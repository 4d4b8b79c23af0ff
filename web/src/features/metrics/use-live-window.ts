import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { historyQuery, type SampleDetail } from "@/api/vps";
import { type PlotData, withPlotGaps } from "@/components/plot/spread";
import { historyColumns, type Metric, sampleColumns } from "@/features/metrics/metric-columns";
import { dropBefore, granularitySeconds, joinColumns, maxStep } from "@/lib/columns";
import { MINUTE } from "@/lib/format/durations";
import { openServerFeed } from "@/live/feed";
import { liveStore } from "@/live/store";
import { useLiveServer } from "@/live/use-live";

export const WINDOW = 5 * MINUTE; // seconds

export interface LiveWindow {
  from: number; // seconds since the epoch
  to: number;
  detail: SampleDetail | null;
  loading: boolean;
  dataOf: (metrics: readonly Metric[]) => PlotData;
}

// The last minutes of a server: history until its feed opened, live samples since then. The window of a
// server that does not report ends at `lastSeen` (ms since the epoch).
export function useLiveWindow(
  id: string,
  reportInterval: number,
  lastSeen: number | null,
): LiveWindow {
  const [openedAt, setOpenedAt] = useState(() => Date.now()); // ms since the epoch
  const live = useLiveServer(id);
  useEffect(() => openServerFeed(id, () => setOpenedAt(Date.now())), [id]);

  const end = lastSeen ?? openedAt;
  const range = {
    start: new Date(end - WINDOW * 1000).toISOString(),
    end: new Date(end).toISOString(),
  };
  const { data: history, isPending: loading } = useQuery({
    ...historyQuery(id, range),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });

  const { samples, detail } = liveStore.window(id);
  const newest = samples.at(-1);
  const to = newest ? Date.parse(newest.time) / 1000 : end / 1000;
  const from = to - WINDOW;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the samples change with the live server
  const dataOf = useCallback(
    (metrics: readonly Metric[]) => {
      const after = sampleColumns(samples, metrics);
      const granularity = history ? granularitySeconds(history.granularity) : 1;
      const all = history ? joinColumns(historyColumns(history, metrics), after) : after;
      const columns = dropBefore(all, from);
      const spreads = metrics.map(() => null);
      return withPlotGaps({ columns, spreads }, maxStep(granularity, reportInterval));
    },
    [live, samples, history, from, reportInterval],
  );
  return useMemo(
    () => ({ from, to, detail, loading, dataOf }),
    [from, to, detail, loading, dataOf],
  );
}
