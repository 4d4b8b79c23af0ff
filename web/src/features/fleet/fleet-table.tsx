import { memo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useRights } from "@/api/access";
import type { Vps } from "@/api/vps";
import { OsIcon } from "@/components/ui/os-icon";
import { Ago, Uptime } from "@/components/ui/relative-time";
import { StatusDot } from "@/components/ui/status-dot";
import { useWindowRows } from "@/components/ui/use-window-rows";
import { type Column, firstDirection, type Sort } from "@/features/fleet/fleet-order";
import styles from "@/features/fleet/fleet-table.module.css";
import { SelectBox } from "@/features/fleet/select-box";
import { levelOf } from "@/lib/format/numbers";
import { useFormat } from "@/lib/use-format";
import { useLiveServer } from "@/live/use-live";

const ROW_HEIGHT = 38; // px

const HEADERS: readonly Column[] = ["name", "cpu", "memory", "disk", "load", "network", "up"];

interface Props {
  servers: readonly Vps[];
  sort: Sort;
  onSort: (sort: Sort) => void;
}

export function FleetTable({ servers, sort, onSort }: Props) {
  const table = useRef<HTMLTableElement>(null);
  const rows = useWindowRows({ table, count: servers.length, rowHeight: ROW_HEIGHT, overscan: 12 });
  return (
    <div className={styles.box}>
      <table ref={table} className={styles.table} aria-rowcount={servers.length}>
        <thead>
          <tr>
            {HEADERS.map((column) => (
              <Header key={column} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.before > 0 && <tr style={{ height: rows.before }} />}
          {rows.indexes.map((index) => {
            const vps = servers[index];
            return vps && <Row key={vps.id} vps={vps} />;
          })}
          {rows.after > 0 && <tr style={{ height: rows.after }} />}
        </tbody>
      </table>
    </div>
  );
}

function Header({ column, sort, onSort }: Omit<Props, "servers"> & { column: Column }) {
  const { t } = useTranslation();
  const chosen = sort.by === column;
  const next = chosen ? { ...sort, descending: !sort.descending } : firstDirection(column);
  return (
    <th scope="col" {...(chosen && { "aria-sort": sort.descending ? "descending" : "ascending" })}>
      <button type="button" onClick={() => onSort(next)}>
        {t(column === "name" ? "table.server" : `fleet.column.${column}`)}
        {chosen && (sort.descending ? " ↓" : " ↑")}
      </button>
    </th>
  );
}

const Row = memo(function Row({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const format = useFormat();
  const sample = useLiveServer(vps.id)?.sample;
  const { manage } = useRights(vps);
  const pending = vps.status === "pending";
  const rates = format.networkRates(sample?.net_rx ?? 0, sample?.net_tx ?? 0);
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
          <Link to={pending && manage ? `/servers/new?id=${vps.id}` : `/servers/${vps.id}`}>
            {vps.name}
          </Link>
        </span>
      </th>
      <Percent id="cpu" value={sample?.cpu_usage} />
      <Percent id="memory" value={sample?.mem_usage} />
      <Percent id="disk" value={sample?.disk_usage} />
      <td>{sample?.load_1 == null ? "–" : format.load(sample.load_1)}</td>
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
