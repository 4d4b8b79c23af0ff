import { useQueries } from "@tanstack/react-query";
import { Select } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { type SeriesHistory, seriesHistoryQuery } from "@/api/series";
import { FailureNote } from "@/components/ui/failure-note";
import { Plot } from "@/components/ui/plot";
import { COLORS, type SeriesGroup, seriesColumns } from "@/features/server/custom-series";
import styles from "@/features/server/series.module.css";
import { formatNumber } from "@/lib/format";
import { joinLines } from "@/lib/series";
import { useSeen } from "@/lib/use-seen";

interface Props {
  server: string;
  group: SeriesGroup;
  from: number;
  to: number;
  sync: string;
  onZoom: (from: number, to: number) => void;
}

const FEW = 30; // points of a line that have a dot each: of a single one there is no line
const TOP = { atLeast: 0 };

export function SeriesPlot({ server, group, from, to, sync, onZoom }: Props) {
  const { t, i18n } = useTranslation();
  const [box, seen] = useSeen<HTMLDivElement>();
  const [chosen, setChosen] = useState<readonly number[]>([]);
  const crowded = group.lines.length > COLORS.length;
  const wanted = group.lines.filter(({ id }) => chosen.includes(id));
  const lines = wanted.length > 0 ? wanted : group.lines.slice(0, COLORS.length);
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
  const data = useMemo(() => joinLines(histories.map(columnsOf)), [histories]);
  const text = (value: number) => formatNumber(value, i18n.language);
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
          format={text}
          headline={(values) =>
            values.map((value) => (value === null ? "–" : text(value))).join(" · ")
          }
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
          value={wanted.map(({ id }) => id)}
          onChange={setChosen}
          optionFilterProp="label"
          options={group.lines.map(({ id, label }) => ({ value: id, label }))}
        />
      )}
    </div>
  );
}

const NOTHING: ReturnType<typeof seriesColumns> = [[], []];

function columnsOf(history: SeriesHistory | undefined) {
  return history ? seriesColumns(history) : NOTHING;
}
