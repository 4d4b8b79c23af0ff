import { useQueries } from "@tanstack/react-query";
import { Select } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { seriesHistoryQuery } from "@/api/series";
import { Plot } from "@/components/plot/plot";
import { FailureNote } from "@/components/ui/failure-note";
import { COLORS, type SeriesGroup, seriesData } from "@/features/metrics/custom-series";
import styles from "@/features/metrics/series.module.css";
import { useFormat } from "@/lib/use-format";
import { useSeen } from "@/lib/use-seen";

interface Props {
  server: string;
  group: SeriesGroup;
  from: number;
  to: number;
  sync: string;
  onZoom: (from: number, to: number) => void;
}

const FEW = 30; // points; shorter lines get dots
const TOP = { atLeast: 0 };

export function SeriesPlot({ server, group, from, to, sync, onZoom }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const [box, seen] = useSeen<HTMLDivElement>();
  const [chosen, setChosen] = useState<readonly number[]>([]);
  const crowded = group.lines.length > COLORS.length;
  const picked = group.lines.filter(({ id }) => chosen.includes(id));
  const lines = picked.length > 0 ? picked : group.lines.slice(0, COLORS.length);
  const range = {
    start: new Date(from * 1000).toISOString(),
    end: new Date(to * 1000).toISOString(),
  };
  const { histories, loading, failed, refetch } = useQueries({
    queries: lines.map(({ id }) => ({ ...seriesHistoryQuery(server, id, range), enabled: seen })),
    combine: (results) => ({
      histories: results.map(({ data }) => data),
      loading: results.some(({ isPending }) => isPending),
      failed: results.find(({ error, data }) => error && !data)?.error,
      refetch: () => Promise.all(results.map((result) => result.refetch())),
    }),
  });
  const data = useMemo(() => seriesData(histories), [histories]);
  return (
    <div ref={box} className={styles.plot}>
      {failed ? (
        <FailureNote error={failed} onRetry={() => void refetch()} />
      ) : (
        <Plot
          title={group.name}
          lines={lines.map(({ label }, at) => ({
            label,
            color: COLORS[at] ?? "faint",
            dots: (histories[at]?.time.length ?? FEW) < FEW,
          }))}
          data={data}
          from={from}
          to={to}
          tick={format.number}
          text={format.number}
          top={TOP}
          sync={sync}
          loading={loading}
          onZoom={onZoom}
        />
      )}
      {crowded && (
        <Select<number[]>
          size="small"
          mode="multiple"
          maxCount={COLORS.length}
          maxTagCount="responsive"
          className={styles.chooser ?? ""}
          aria-label={t("series.choose", { name: group.name })}
          placeholder={t("series.shownOf", { shown: lines.length, total: group.lines.length })}
          value={picked.map(({ id }) => id)}
          onChange={setChosen}
          optionFilterProp="label"
          options={group.lines.map(({ id, label }) => ({ value: id, label }))}
        />
      )}
    </div>
  );
}
