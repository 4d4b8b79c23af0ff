import { memo } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useRights } from "@/api/access";
import type { ServerOverview } from "@/api/overview";
import type { Vps } from "@/api/vps";
import { OsIcon } from "@/components/ui/os-icon";
import { Ago, Uptime } from "@/components/ui/relative-time";
import { StatusDot } from "@/components/ui/status-dot";
import { Meter } from "@/features/fleet/meter";
import { Quota } from "@/features/fleet/quota";
import { SelectBox } from "@/features/fleet/select-box";
import styles from "@/features/fleet/server-card.module.css";
import { Sparkline } from "@/features/fleet/sparkline";
import { useFormat } from "@/lib/use-format";
import type { LiveServer } from "@/live/store";
import { useLiveServer } from "@/live/use-live";

interface Props {
  vps: Vps;
  overview: ServerOverview | undefined;
}

export const ServerCard = memo(function ServerCard({ vps, overview }: Props) {
  const live = useLiveServer(vps.id);
  const { manage } = useRights(vps);
  const pending = vps.status === "pending";
  return (
    <article
      className={`${styles.card} ${styles[vps.status]}`}
      data-testid="server-card"
      data-status={vps.status}
      data-name={vps.name}
    >
      <h2>
        <SelectBox vps={vps} />
        <StatusDot status={vps.status} />
        {!pending && <OsIcon osId={vps.facts?.os_id} label={vps.facts?.os_name} />}
        <Link
          className={styles.name}
          to={pending && manage ? `/servers/new?id=${vps.id}` : `/servers/${vps.id}`}
        >
          {vps.name}
        </Link>
        <CardNote vps={vps} uptime={live?.sample.uptime ?? null} />
      </h2>
      {pending ? (
        <Waiting showLine={manage} />
      ) : (
        <Readings vps={vps} live={live} overview={overview} />
      )}
    </article>
  );
});

function CardNote({ vps, uptime }: { vps: Vps; uptime: number | null }) {
  const { t } = useTranslation();
  if (vps.status === "pending") return <small>{t("status.pending")}</small>;
  if (vps.status === "online") {
    if (uptime === null) return null;
    return (
      <small>
        {t("card.up")} <Uptime seconds={uptime} />
      </small>
    );
  }
  if (!vps.last_seen) return <small>{t(`status.${vps.status}`)}</small>;
  return (
    <small>
      {t("card.lastSeen")} <Ago time={vps.last_seen} />
    </small>
  );
}

function Waiting({ showLine }: { showLine: boolean }) {
  const { t } = useTranslation();
  return (
    <div className={styles.waitingText}>
      <p>{t("card.waiting")}</p>
      {showLine && <span>{t("card.showLine")} →</span>}
    </div>
  );
}

interface ReadingsProps {
  vps: Vps;
  live: LiveServer | undefined;
  overview: ServerOverview | undefined;
}

function Readings({ vps, live, overview }: ReadingsProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const sample = live?.sample;
  const cores = vps.facts?.cpu_count;
  const load = sample?.load_1;
  const cpuNote = [
    cores != null && t("card.cores", { count: cores }),
    load != null && t("card.load", { load: format.load(load) }),
  ]
    .filter(Boolean)
    .join(" · ");
  const share = (used: number | null | undefined, total: number | null | undefined) =>
    used != null && total != null ? t("unit.share", { ...format.share(used, total) }) : "";
  const rates = format.networkRates(sample?.net_rx ?? 0, sample?.net_tx ?? 0);
  return (
    <>
      <div className={styles.meters}>
        <Meter id="cpu" label={t("metric.cpu")} percent={sample?.cpu_usage} note={cpuNote} />
        <Meter
          id="memory"
          label={t("metric.memory")}
          percent={sample?.mem_usage}
          note={share(sample?.mem_used, sample?.mem_total)}
        />
        <Meter
          id="disk"
          label={t("metric.disk")}
          percent={sample?.disk_usage}
          note={share(sample?.disk_used, sample?.disk_total)}
        />
      </div>
      <Sparkline
        minutes={overview?.cpu ?? []}
        now={vps.status === "online" ? (sample?.cpu_usage ?? null) : null}
        second={sample ? (Date.parse(sample.time) / 1000) % 60 : 0}
        hot={(sample?.cpu_usage ?? 0) > 90}
      />
      <footer>
        <span title={t("card.traffic")}>
          ↓ {sample?.net_rx == null ? "–" : rates.values[0]} ↑{" "}
          {sample?.net_tx == null ? "–" : rates.values[1]} <em>{rates.unit}</em>
        </span>
        {overview?.traffic && <Quota traffic={overview.traffic} />}
        {vps.ip_address && <span className={styles.address}>{vps.ip_address}</span>}
      </footer>
    </>
  );
}
