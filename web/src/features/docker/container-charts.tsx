import { useQuery } from "@tanstack/react-query";
import { Button, Segmented } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Container, type ContainerStats, containerStatsQuery } from "@/api/docker";
import { FailureNote } from "@/components/ui/failure-note";
import { Plot } from "@/components/ui/plot";
import { containerCharts, type Stat } from "@/features/docker/charts";
import styles from "@/features/docker/container-page.module.css";
import { useNow } from "@/lib/clock";
import { DAY, HOUR } from "@/lib/format";
import { type Columns, longestStep, withGaps } from "@/lib/series";

const SPANS = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "48h": 2 * DAY };
type Span = keyof typeof SPANS;
const NAMES = Object.keys(SPANS) as Span[];

const REPORT_INTERVAL = 10; // seconds between two readings of the engine, at the most
const REFRESH = 10_000; // ms; about one new point each time
const SHORTEST = 60; // seconds

function columnsOf(stats: ContainerStats | undefined, names: readonly Stat[]): Columns {
  if (!stats) return [[], ...names.map(() => [])];
  const columns: Columns = [
    stats.points.map(({ time }) => Date.parse(time) / 1000),
    ...names.map((name) => stats.points.map((point) => point[name])),
  ];
  return withGaps(columns, longestStep(stats.granularity_seconds, REPORT_INTERVAL));
}

export function ContainerCharts({ server, container }: { server: string; container: Container }) {
  const { t } = useTranslation();
  const [span, setSpan] = useState<Span>("1h");
  const [zoom, setZoom] = useState<{ from: number; to: number } | null>(null);
  const now = Math.ceil(useNow(REFRESH) / 1000);
  const { from, to } = zoom ?? { from: now - SPANS[span], to: now };
  const { data, error, refetch } = useQuery(
    containerStatsQuery(server, container.id, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
    }),
  );
  const all = useMemo(
    () => containerCharts(t, container.memory_limit_bytes),
    [t, container.memory_limit_bytes],
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
        {all.map(({ stats, ...chart }) => (
          <Plot
            key={chart.title}
            {...chart}
            data={columnsOf(data, stats)}
            from={from}
            to={to}
            sync={`container-${container.id}`}
            loading={!data}
            onZoom={(left, right) => setZoom({ from: left, to: Math.max(right, left + SHORTEST) })}
          />
        ))}
      </div>
    </section>
  );
}
