import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { seriesQuery } from "@/api/series";
import { FailureNote } from "@/components/ui/failure-note";
import { groupSeries } from "@/features/metrics/custom-series";
import styles from "@/features/metrics/series.module.css";
import { SeriesHelp } from "@/features/metrics/series-help";
import { SeriesPlot } from "@/features/metrics/series-plot";

interface Props {
  server: string;
  from: number;
  to: number;
  sync: string;
  // False if custom collectors are turned off in the settings of the server.
  collected: boolean;
  onZoom: (from: number, to: number) => void;
}

const REFRESH_INTERVAL = 30_000; // ms; collectors run every minute by default

export function SeriesSection({ server, from, to, sync, collected, onZoom }: Props) {
  const { t } = useTranslation();
  const [helping, setHelping] = useState(false);
  const { data, error, refetch } = useQuery({
    ...seriesQuery(server),
    refetchInterval: REFRESH_INTERVAL,
  });
  const { shown, silent } = useMemo(() => groupSeries(data?.items ?? [], from), [data, from]);
  if (error && !data) return <FailureNote error={error} onRetry={() => void refetch()} />;
  if (!data) return null;
  return (
    <section className={styles.series} aria-labelledby="custom-series">
      <header>
        <h2 id="custom-series">{t("series.title")}</h2>
        {data.total === 0 && <p>{t("series.none")}</p>}
        {silent.length > 0 && <p>{t("series.silent", { names: silent.join(t("separator")) })}</p>}
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
