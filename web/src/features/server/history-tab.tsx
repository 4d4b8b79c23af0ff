import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";
import { useOutletContext, useSearchParams } from "react-router";
import { historyQuery } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { type Chart, charts } from "@/features/server/charts";
import { GapNotes } from "@/features/server/gap-notes";
import { MetricPlot } from "@/features/server/metric-plot";
import { MountPlot } from "@/features/server/mount-plot";
import { RangeTools } from "@/features/server/range-tools";
import { SeriesSection } from "@/features/server/series-section";
import styles from "@/features/server/server.module.css";
import type { ServerContext } from "@/features/server/server-page";
import {
  atLeastShortest,
  readRange,
  refreshEvery,
  SPANS,
  type TimeRange,
  writeRange,
} from "@/features/server/time-range";
import { useGaps } from "@/features/server/use-gaps";
import { useNow } from "@/lib/clock";
import {
  type Columns,
  granularitySeconds,
  historyColumns,
  longestStep,
  type Metric,
  withGaps,
} from "@/lib/series";

const DEFAULT_INTERVAL = 2; // seconds
const STILL = 3_600_000; // ms; a range of the past does not move

function useBounds(range: TimeRange): { from: number; to: number } {
  const moving = "span" in range;
  const now = useNow(moving ? refreshEvery(range.span) * 1000 : STILL);
  if (!moving) return range;
  const to = Math.ceil(now / 1000);
  return { from: to - SPANS[range.span], to };
}

export function HistoryTab() {
  const { vps, tools } = useOutletContext<ServerContext>();
  const { t } = useTranslation();
  const [params, setParams] = useSearchParams();
  const range = readRange(params);
  const { from, to } = useBounds(range);
  const { data, error, isPlaceholderData, refetch } = useQuery(
    historyQuery(vps.id, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
    }),
  );
  const { gaps, bands } = useGaps(vps.id, from, to);
  const interval = vps.agent_config.report_interval_seconds ?? DEFAULT_INTERVAL;

  const columnsOf = useCallback(
    (metrics: readonly Metric[]): Columns => {
      if (!data) return [[], ...metrics.map(() => [])];
      const step = longestStep(granularitySeconds(data.granularity), interval);
      return withGaps(historyColumns(data, metrics), step);
    },
    [data, interval],
  );

  const shown = useMemo(() => {
    const all = charts(t);
    const has = (metric: Metric) => data?.[metric].some((value) => value !== null && value > 0);
    const list: Chart[] = [all.cpu, all.memory, all.diskIo, all.network, all.load, all.disk];
    list.push(all.connections, all.processes);
    // Those not every server has come last, so that nothing moves when they are found.
    if (has("swap_total")) list.push(all.swap);
    if (has("temperature")) list.push(all.temperature);
    return list;
  }, [t, data]);

  const choose = (chosen: TimeRange) => setParams(writeRange(chosen));
  const zoom = (left: number, right: number) => choose(atLeastShortest(left, right));
  const shared = { from, to, sync: `history-${vps.id}`, onZoom: zoom };
  return (
    <>
      {tools &&
        createPortal(<RangeTools range={range} from={from} to={to} onChoose={choose} />, tools)}
      {error && !data && <FailureNote error={error} onRetry={() => void refetch()} />}
      <GapNotes gaps={gaps} />
      {(data || !error) && (
        <div
          className={isPlaceholderData ? `${styles.grid} ${styles.waiting}` : styles.grid}
          aria-busy={isPlaceholderData || !data}
        >
          {shown.map((chart) => (
            <MetricPlot
              key={chart.id}
              chart={chart}
              columnsOf={columnsOf}
              bands={bands}
              loading={!data}
              {...shared}
            />
          ))}
          <MountPlot server={vps.id} interval={interval} bands={bands} {...shared} />
        </div>
      )}
      <SeriesSection
        server={vps.id}
        collected={!vps.agent_config.disabled_collectors?.includes("generic")}
        {...shared}
      />
    </>
  );
}
