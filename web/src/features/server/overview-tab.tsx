import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import { ChartGrid } from "@/features/metrics/chart-grid";
import { type Chart, charts } from "@/features/metrics/charts";
import { DataGapNotes } from "@/features/metrics/data-gap-notes";
import { hasValues } from "@/features/metrics/metric-columns";
import { MetricPlot } from "@/features/metrics/metric-plot";
import { useDataGaps } from "@/features/metrics/use-data-gaps";
import { useLiveWindow, WINDOW } from "@/features/metrics/use-live-window";
import { CoresPanel } from "@/features/server/cores-panel";
import styles from "@/features/server/details.module.css";
import { DisksPanel } from "@/features/server/disks-panel";
import { InterfacesPanel } from "@/features/server/interfaces-panel";
import { OmittedNote } from "@/features/server/omitted-note";
import { PendingNote } from "@/features/server/pending-note";
import { ProcessesPanel } from "@/features/server/processes-panel";
import { useServerContext } from "@/features/server/server-context";
import { TemperaturesPanel } from "@/features/server/temperatures-panel";
import { TrafficPanel } from "@/features/traffic/traffic-panel";
import { useNow } from "@/lib/clock";
import { lastValue } from "@/lib/columns";
import { useFormat } from "@/lib/use-format";

const GAPS_REFRESH = 30_000; // ms; the charts themselves update with each sample
const DEFAULT_INTERVAL = 2; // seconds; the agent's default

export function OverviewTab() {
  const { vps } = useServerContext();
  if (vps.status === "pending") return <PendingNote vps={vps} />;
  return <LiveView vps={vps} key={vps.id} />;
}

function LiveView({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const format = useFormat();
  const interval = vps.agent_config.report_interval_seconds ?? DEFAULT_INTERVAL;
  const lastSeen = vps.status !== "online" && vps.last_seen ? Date.parse(vps.last_seen) : null;
  const window = useLiveWindow(vps.id, interval, lastSeen);
  const { from, to, detail: liveDetail, loading, dataOf } = window;
  const now = Math.ceil(useNow(GAPS_REFRESH) / 1000);
  const { gaps, bands } = useDataGaps(vps.id, now - WINDOW, now);
  const all = useMemo(() => charts(t, format), [t, format]);
  const shown = useMemo(() => {
    const first: Chart[] = [all.cpu, all.memory, all.network, all.diskIo, all.load];
    const list = [...first, all.connections, all.processes];
    if ((lastValue(dataOf(["swap_total"]).columns[1]) ?? 0) > 0) list.push(all.swap);
    const measured = list.filter(({ metrics }) => hasValues(dataOf(metrics)));
    return measured.length > 0 ? measured : first.slice(0, 4);
  }, [all, dataOf]);
  const detail = liveDetail ?? vps.latest?.detail;
  return (
    <div className={lastSeen === null ? undefined : styles.gone}>
      {lastSeen !== null && (
        <p className={styles.lastSeen} role="status">
          {t(`server.since.${vps.status === "stale" ? "stale" : "offline"}`, {
            time: format.dateTime(lastSeen),
          })}
        </p>
      )}
      <OmittedNote omitted={detail?.omitted ?? []} />
      <DataGapNotes gaps={gaps} />
      <ChartGrid>
        {shown.map((chart) => (
          <MetricPlot
            key={chart.id}
            chart={chart}
            dataOf={dataOf}
            from={from}
            to={to}
            sync={`live-${vps.id}`}
            bands={bands}
            loading={loading}
          />
        ))}
      </ChartGrid>
      <div className={styles.details}>
        <TrafficPanel vps={vps} />
        {detail && (
          <>
            <CoresPanel cores={detail.cpu_cores ?? []} />
            <DisksPanel disks={detail.disks ?? []} devices={detail.block_devices ?? []} />
            <InterfacesPanel interfaces={detail.interfaces ?? []} />
            <ProcessesPanel processes={detail.top_processes ?? []} />
            <TemperaturesPanel temperatures={detail.temperatures ?? []} />
          </>
        )}
      </div>
    </div>
  );
}
