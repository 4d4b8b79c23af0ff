import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { type History, historyQuery } from "@/api/vps";
import { type PlotData, withPlotGaps } from "@/components/plot/spread";
import { FailureNote } from "@/components/ui/failure-note";
import { ChartGrid } from "@/features/metrics/chart-grid";
import { type Chart, charts } from "@/features/metrics/charts";
import { DataGapNotes } from "@/features/metrics/data-gap-notes";
import { DataSince } from "@/features/metrics/data-since";
import { historyColumns, historySpreads, type Metric } from "@/features/metrics/metric-columns";
import { MetricPlot } from "@/features/metrics/metric-plot";
import { MountPlot } from "@/features/metrics/mount-plot";
import { RangeTools } from "@/features/metrics/range-tools";
import { SeriesSection } from "@/features/metrics/series-section";
import {
  readRange,
  refreshEvery,
  SPANS,
  type TimeRange,
  widenToMinimum,
  writeRange,
} from "@/features/metrics/time-range";
import { useDataGaps } from "@/features/metrics/use-data-gaps";
import { useServerContext } from "@/features/server/server-context";
import { useNow } from "@/lib/clock";
import { granularitySeconds, maxStep } from "@/lib/columns";
import { useFormat } from "@/lib/use-format";

const DEFAULT_INTERVAL = 2; // seconds
const STILL = 3_600_000; // ms; a fixed range does not move

function useBounds(range: TimeRange): { from: number; to: number } {
  const moving = "span" in range;
  const now = useNow(moving ? refreshEvery(range.span) * 1000 : STILL);
  if (!moving) return range;
  const to = Math.ceil(now / 1000);
  return { from: to - SPANS[range.span], to };
}

// A chart without any value in the range is left out, unless nothing at all was measured then.
function isShown({ id, metrics, total }: Chart, history: History | undefined): boolean {
  const optional = id === "swap" || id === "temperature";
  if (!history || history.time.length === 0) return !optional;
  const some = (metric: Metric, least: number) =>
    history[metric]?.some((value) => value !== null && value > least) ?? false;
  return total && optional ? some(total, 0) : metrics.some((metric) => some(metric, -Infinity));
}

export function HistoryTab() {
  const { vps, tools } = useServerContext();
  const { t } = useTranslation();
  const format = useFormat();
  const [params, setParams] = useSearchParams();
  const range = readRange(params);
  const { from, to } = useBounds(range);
  const { data, error, isPlaceholderData, refetch } = useQuery(
    historyQuery(vps.id, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
      aggregates: "min,max,p95",
    }),
  );
  const { gaps, bands } = useDataGaps(vps.id, from, to);
  const interval = vps.agent_config.report_interval_seconds ?? DEFAULT_INTERVAL;

  const dataOf = useCallback(
    (metrics: readonly Metric[]): PlotData => {
      const step = maxStep(granularitySeconds(data?.granularity ?? ""), interval);
      return data
        ? withPlotGaps(
            { columns: historyColumns(data, metrics), spreads: historySpreads(data, metrics) },
            step,
          )
        : { columns: [[], ...metrics.map(() => [])], spreads: metrics.map(() => null) };
    },
    [data, interval],
  );

  const shown = useMemo(() => {
    const all = charts(t, format);
    // Charts that only some servers have come last, so that the other charts keep their places.
    const list: Chart[] = [all.cpu, all.memory, all.diskIo, all.network, all.load, all.disk];
    list.push(all.connections, all.processes, all.swap, all.temperature);
    return list.filter((chart) => isShown(chart, data));
  }, [t, format, data]);

  const choose = (chosen: TimeRange) => setParams(writeRange(chosen));
  const zoom = (left: number, right: number) => choose(widenToMinimum(left, right));
  const shared = { from, to, sync: `history-${vps.id}`, onZoom: zoom };
  return (
    <>
      {tools &&
        createPortal(<RangeTools range={range} from={from} to={to} onChoose={choose} />, tools)}
      {error && !data && <FailureNote error={error} onRetry={() => void refetch()} />}
      <DataSince vps={vps} from={from} times={data?.time ?? []} />
      <DataGapNotes gaps={gaps} />
      {(data || !error) && (
        <ChartGrid stale={isPlaceholderData} busy={isPlaceholderData || !data}>
          {shown.map((chart) => (
            <MetricPlot
              key={chart.id}
              chart={chart}
              dataOf={dataOf}
              bands={bands}
              loading={!data}
              {...shared}
            />
          ))}
          <MountPlot server={vps.id} interval={interval} bands={bands} {...shared} />
        </ChartGrid>
      )}
      <SeriesSection
        server={vps.id}
        collected={!vps.agent_config.disabled_collectors?.includes("generic")}
        {...shared}
      />
    </>
  );
}
