import { useQuery } from "@tanstack/react-query";
import { Button, Segmented } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Container, type ContainerStats, containerStatsQuery } from "@/api/docker";
import { Plot } from "@/components/plot/plot";
import { type PlotData, withPlotGaps } from "@/components/plot/spread";
import { FailureNote } from "@/components/ui/failure-note";
import { containerCharts, type Stat } from "@/features/docker/containers/charts";
import styles from "@/features/docker/containers/container-page.module.css";
import { useNow } from "@/lib/clock";
import { type Columns, maxStep } from "@/lib/columns";
import { DAY, HOUR } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

const SPANS = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "48h": 2 * DAY };
type Span = keyof typeof SPANS;
const NAMES = Object.keys(SPANS) as Span[];

const REPORT_INTERVAL = 10; // seconds; the longest interval between two readings
const REFRESH_INTERVAL = 10_000; // ms; about one new point each time
const MIN_SPAN = 60; // seconds

function dataOf(stats: ContainerStats | undefined, names: readonly Stat[]): PlotData {
  const spreads = names.map(() => null);
  if (!stats) return { columns: [[], ...names.map(() => [])], spreads };
  const columns: Columns = [
    stats.points.map(({ time }) => Date.parse(time) / 1000),
    ...names.map((name) => stats.points.map((point) => point[name])),
  ];
  return withPlotGaps({ columns, spreads }, maxStep(stats.granularity_seconds, REPORT_INTERVAL));
}

export function ContainerCharts({ server, container }: { server: string; container: Container }) {
  const { t } = useTranslation();
  const format = useFormat();
  const [span, setSpan] = useState<Span>("1h");
  const [zoom, setZoom] = useState<{ from: number; to: number } | null>(null);
  const now = Math.ceil(useNow(REFRESH_INTERVAL) / 1000);
  const { from, to } = zoom ?? { from: now - SPANS[span], to: now };
  const { data, error, refetch } = useQuery(
    containerStatsQuery(server, container.id, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
    }),
  );
  const all = useMemo(
    () => containerCharts(t, format, container.memory_limit_bytes),
    [t, format, container.memory_limit_bytes],
  );
  const drawn = useMemo(
    () => all.map(({ stats, ...chart }) => ({ ...chart, data: dataOf(data, stats) })),
    [all, data],
  );
  if (error && !data) return <FailureNote error={error} onRetry={() => void refetch()} />;
  return (
    <section aria-label={t("docker.charts")}>
      <div className={styles.ranges}>
        <Segmented<Span | "">
          size="small"
          aria-label={t("range.title")}
          value={zoom ? "" : span}
          onChange={(chosen) => {
            setZoom(null);
            if (chosen !== "") setSpan(chosen);
          }}
          options={NAMES.map((name) => ({ value: name, label: t(`range.${name}`) }))}
        />
        {zoom && (
          <Button size="small" onClick={() => setZoom(null)}>
            {t("action.reset")}
          </Button>
        )}
      </div>
      <div className={styles.charts}>
        {drawn.map((chart) => (
          <Plot
            key={chart.title}
            {...chart}
            from={from}
            to={to}
            sync={`container-${container.id}`}
            loading={!data}
            onZoom={(left, right) => setZoom({ from: left, to: Math.max(right, left + MIN_SPAN) })}
          />
        ))}
      </div>
    </section>
  );
}
