import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Link, useOutletContext } from "react-router";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { charts } from "@/features/server/charts";
import { Cores, Disks, Interfaces, Temperatures } from "@/features/server/details";
import { GapNotes } from "@/features/server/gap-notes";
import { MetricPlot } from "@/features/server/metric-plot";
import styles from "@/features/server/server.module.css";
import type { ServerContext } from "@/features/server/server-page";
import { useGaps } from "@/features/server/use-gaps";
import { useLiveWindow, WINDOW } from "@/features/server/use-live-window";
import { useNow } from "@/lib/clock";

const GAPS_EVERY = 30_000; // ms; the charts themselves move with each sample
const DEFAULT_INTERVAL = 2; // seconds, an agent's own where the server sets none

export function OverviewTab() {
  const { vps } = useOutletContext<ServerContext>();
  const { t } = useTranslation();
  if (vps.status === "pending") {
    return (
      <EmptyState icon="server" title={t("card.waiting")} text={t("server.pendingText")}>
        <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>
      </EmptyState>
    );
  }
  return <LiveView vps={vps} key={vps.id} />;
}

function LiveView({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const interval = vps.agent_config.report_interval_seconds ?? DEFAULT_INTERVAL;
  const { from, to, newest, loading, columnsOf } = useLiveWindow(vps.id, interval);
  const now = Math.ceil(useNow(GAPS_EVERY) / 1000);
  const { gaps, bands } = useGaps(vps.id, now - WINDOW, now);
  const all = useMemo(() => charts(t), [t]);
  const detail = newest?.detail ?? vps.latest?.detail;
  return (
    <>
      <GapNotes gaps={gaps} />
      <div className={styles.grid}>
        {[all.cpu, all.memory, all.network, all.diskIo].map((chart) => (
          <MetricPlot
            key={chart.id}
            chart={chart}
            columnsOf={columnsOf}
            from={from}
            to={to}
            sync={`live-${vps.id}`}
            bands={bands}
            loading={loading}
          />
        ))}
      </div>
      {detail && (
        <div className={styles.details}>
          <Cores cores={detail.cpu_cores ?? []} />
          <Disks disks={detail.disks ?? []} devices={detail.block_devices ?? []} />
          <Interfaces interfaces={detail.interfaces ?? []} />
          <Temperatures temperatures={detail.temperatures ?? []} />
        </div>
      )}
    </>
  );
}
