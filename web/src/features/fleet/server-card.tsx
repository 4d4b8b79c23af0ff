import { useQuery } from "@tanstack/react-query";
import { memo } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Traffic } from "@/api/traffic";
import type { Vps } from "@/api/vps";
import { Ago, Uptime } from "@/components/ui/moments";
import { OsIcon } from "@/components/ui/os-icon";
import { StatusDot } from "@/components/ui/status-dot";
import { cardTrafficQuery, trailQuery } from "@/features/fleet/card-queries";
import styles from "@/features/fleet/fleet.module.css";
import { Meter } from "@/features/fleet/meter";
import { Quota } from "@/features/fleet/quota";
import { SelectBox } from "@/features/fleet/select-box";
import { Sparkline } from "@/features/fleet/sparkline";
import { formatBitRates, formatShare } from "@/lib/format";
import type { LiveServer } from "@/lib/live-store";
import { useLiveServer } from "@/lib/use-live";
import { useSeen } from "@/lib/use-seen";

interface Props {
  vps: Vps;
  // Whether it may ask the server for more than the fleet's list says.
  asks: boolean;
}

export const ServerCard = memo(function ServerCard({ vps, asks }: Props) {
  const live = useLiveServer(vps.id);
  const pending = vps.status === "pending";
  const [card, seen] = useSeen<HTMLElement>();
  const asking = asks && seen && !pending;
  useQuery({ ...trailQuery(vps), enabled: asking && vps.status === "online" });
  const traffic = useQuery({ ...cardTrafficQuery(vps.id), enabled: asking });
  return (
    <article
      ref={card}
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
          to={pending ? `/servers/new?id=${vps.id}` : `/servers/${vps.id}`}
        >
          {vps.name}
        </Link>
        <CardNote vps={vps} uptime={live?.sample.uptime ?? null} />
      </h2>
      {pending ? <Waiting /> : <Readings vps={vps} live={live} traffic={traffic.data} />}
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

function Waiting() {
  const { t } = useTranslation();
  return (
    <div className={styles.waitingText}>
      <p>{t("card.waiting")}</p>
      <span>{t("card.showLine")} →</span>
    </div>
  );
}

interface ReadingsProps {
  vps: Vps;
  live: LiveServer | undefined;
  traffic: Traffic | undefined;
}

function Readings({ vps, live, traffic }: ReadingsProps) {
  const { t } = useTranslation();
  const sample = live?.sample;
  const cores = vps.facts?.cpu_count;
  const load = sample?.load_1;
  const cpuNote = [
    cores != null && t("card.cores", { count: cores }),
    load != null && t("card.load", { load: load.toFixed(2) }),
  ]
    .filter(Boolean)
    .join(" · ");
  const share = (used: number | null | undefined, total: number | null | undefined) =>
    used != null && total != null ? t("unit.share", { ...formatShare(used, total) }) : "";
  const rates = formatBitRates(sample?.net_rx ?? 0, sample?.net_tx ?? 0);
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
      <Sparkline trail={live?.trail ?? []} hot={(sample?.cpu_usage ?? 0) > 90} />
      <footer>
        <span title={t("card.traffic")}>
          ↓ {sample?.net_rx == null ? "–" : rates.values[0]} ↑{" "}
          {sample?.net_tx == null ? "–" : rates.values[1]} <em>{rates.unit}</em>
        </span>
        {traffic && <Quota traffic={traffic} />}
        {vps.ip_address && <span className={styles.address}>{vps.ip_address}</span>}
      </footer>
    </>
  );
}
