import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { seriesQuery } from "@/api/series";
import { FailureNote } from "@/components/ui/failure-note";
import { groupSeries } from "@/features/server/custom-series";
import styles from "@/features/server/series.module.css";
import { SeriesHelp } from "@/features/server/series-help";
import { SeriesPlot } from "@/features/server/series-plot";

interface Props {
  server: string;
  from: number;
  to: number;
  sync: string;
  // Whether the server's settings have its own collectors run.
  collected: boolean;
  onZoom: (from: number, to: number) => void;
}

const REFRESH = 30_000; // ms; collectors run each minute, unless they are told otherwise

export function SeriesSection({ server, from, to, sync, collected, onZoom }: Props) {
  const { t } = useTranslation();
  const [helping, setHelping] = useState(false);
  const { data, error, refetch } = useQuery({ ...seriesQuery(server), refetchInterval: REFRESH });
  const { shown, silent } = useMemo(() => groupSeries(data?.items ?? [], from), [data, from]);
  if (error && !data) return <FailureNote error={error} onRetry={() => void refetch()} />;
  if (!data) return null;
  return (
    <section className={styles.series} aria-labelledby="custom-series">
      <header>
        <h2 id="custom-series">{t("series.title")}</h2>
        {data.total === 0 && <p>{t("series.none")}</p>}
        {silent.length > 0 && <p>{t("series.silent", { names: silent.join(t("series.and")) })}</p>}
        <Button
          type="link"
          size="small"
          aria-expanded={helping}
          onClick={() => setHelping(!helping)}
        >
          {t("series.how")}
        </Button>
      </header>
      {!collected && <p>{t("series.off")}</p>}
      {helping && <SeriesHelp />}
      <div className={styles.grid}>
        {shown.map((group) => (
          <SeriesPlot
            key={group.name}
            server={server}
            group={group}
            from={from}
            to={to}
            sync={sync}
            onZoom={onZoom}
          />
        ))}
      </div>
    </section>
  );
}
