import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { openServerFeed } from "@/api/live";
import { historyQuery, type Sample } from "@/api/vps";
import { MINUTE } from "@/lib/format";
import {
  type Columns,
  granularitySeconds,
  historyColumns,
  joinColumns,
  longestStep,
  type Metric,
  sampleColumns,
  since,
  withGaps,
} from "@/lib/series";

export const WINDOW = 5 * MINUTE; // seconds
const MOST_SAMPLES = 600;

export interface LiveWindow {
  from: number;
  to: number;
  newest: Sample | undefined;
  loading: boolean;
  columnsOf: (metrics: readonly Metric[]) => Columns;
}

interface Feed {
  // What came before the socket was opened is asked of history, again after each reconnection.
  openedAt: number; // ms since the epoch
  samples: readonly Sample[];
}

export function useLiveWindow(id: string, reportInterval: number): LiveWindow {
  const [feed, setFeed] = useState<Feed>(() => ({ openedAt: Date.now(), samples: [] }));
  const { openedAt, samples } = feed;

  useEffect(
    () =>
      openServerFeed(
        id,
        (sample) =>
          setFeed((before) => {
            const last = before.samples.at(-1);
            if (last && last.time >= sample.time) return before;
            return { ...before, samples: [...before.samples, sample].slice(-MOST_SAMPLES) };
          }),
        () => setFeed({ openedAt: Date.now(), samples: [] }),
      ),
    [id],
  );

  const range = {
    start: new Date(openedAt - WINDOW * 1000).toISOString(),
    end: new Date(openedAt).toISOString(),
  };
  const { data: history, isPending: loading } = useQuery({
    ...historyQuery(id, range),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });

  const newest = samples.at(-1);
  const to = newest ? Date.parse(newest.time) / 1000 : openedAt / 1000;
  const from = to - WINDOW;
  const columnsOf = useCallback(
    (metrics: readonly Metric[]) => {
      const live = sampleColumns(samples, metrics);
      const granularity = history ? granularitySeconds(history.granularity) : 1;
      const all = history ? joinColumns(historyColumns(history, metrics), live) : live;
      return withGaps(since(all, from), longestStep(granularity, reportInterval));
    },
    [samples, history, from, reportInterval],
  );
  return useMemo(
    () => ({ from, to, newest, loading, columnsOf }),
    [from, to, newest, loading, columnsOf],
  );
}
