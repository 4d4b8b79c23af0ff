import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { memo, useLayoutEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Vps } from "@/api/vps";
import { Ago, Uptime } from "@/components/ui/moments";
import { OsIcon } from "@/components/ui/os-icon";
import { StatusDot } from "@/components/ui/status-dot";
import styles from "@/features/fleet/fleet-table.module.css";
import { SelectBox } from "@/features/fleet/select-box";
import { formatBitRates, levelOf } from "@/lib/format";
import { useLiveServer } from "@/lib/use-live";

const ROW_HEIGHT = 38; // px

export function FleetTable({ servers }: { servers: readonly Vps[] }) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    setTop((box.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
  }, []);
  const rows = useWindowVirtualizer({
    count: servers.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
    scrollMargin: top,
  });
  const items = rows.getVirtualItems();
  const before = (items[0]?.start ?? top) - top;
  const after = rows.getTotalSize() - ((items.at(-1)?.end ?? top) - top);
  return (
    <div ref={box} className={styles.box}>
      <table className={styles.table} aria-rowcount={servers.length}>
        <thead>
          <tr>
            <th scope="col">{t("table.server")}</th>
            <th scope="col">{t("metric.cpu")}</th>
            <th scope="col">{t("metric.memory")}</th>
            <th scope="col">{t("metric.disk")}</th>
            <th scope="col">{t("metric.load")}</th>
            <th scope="col">{t("metric.network")}</th>
            <th scope="col">{t("table.up")}</th>
          </tr>
        </thead>
        <tbody>
          {before > 0 && <tr style={{ height: before }} />}
          {items.map(({ index }) => {
            const vps = servers[index];
            return vps && <Row key={vps.id} vps={vps} />;
          })}
          {after > 0 && <tr style={{ height: after }} />}
        </tbody>
      </table>
    </div>
  );
}

const Row = memo(function Row({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const sample = useLiveServer(vps.id)?.sample;
  const pending = vps.status === "pending";
  const rates = formatBitRates(sample?.net_rx ?? 0, sample?.net_tx ?? 0);
  return (
    <tr
      className={vps.status === "offline" ? styles.offline : undefined}
      data-testid="server-row"
      data-status={vps.status}
      style={{ height: ROW_HEIGHT }}
    >
      <th scope="row">
        <span className={styles.server}>
          <SelectBox vps={vps} />
          <StatusDot status={vps.status} />
          {!pending && <OsIcon osId={vps.facts?.os_id} label={vps.facts?.os_name} />}
          <Link to={pending ? `/servers/new?id=${vps.id}` : `/servers/${vps.id}`}>{vps.name}</Link>
        </span>
      </th>
      <Percent id="cpu" value={sample?.cpu_usage} />
      <Percent id="memory" value={sample?.mem_usage} />
      <Percent id="disk" value={sample?.disk_usage} />
      <td>{sample?.load_1?.toFixed(2) ?? "–"}</td>
      <td>
        {sample?.net_rx == null ? (
          "–"
        ) : (
          <>
            ↓ {rates.values[0]} ↑ {rates.values[1]} <em>{rates.unit}</em>
          </>
        )}
      </td>
      <td>
        {vps.status === "online" && sample?.uptime != null ? (
          <Uptime seconds={sample.uptime} />
        ) : vps.last_seen ? (
          <Ago time={vps.last_seen} />
        ) : (
          t(`status.${vps.status}`)
        )}
      </td>
    </tr>
  );
});

function Percent({ id, value }: { id: string; value: number | null | undefined }) {
  if (value == null) return <td data-testid={id}>–</td>;
  return (
    <td>
      <span className={`${styles.percent} ${styles[levelOf(value)]}`}>
        <b data-testid={id}>
          {Math.round(value)}
          <i>%</i>
        </b>
        <u>
          <s style={{ transform: `scaleX(${Math.min(100, value) / 100})` }} />
        </u>
      </span>
    </td>
  );
}
