import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import type { Powers, Vps } from "@/api/vps";
import { Ago } from "@/components/ui/moments";
import styles from "@/features/server/server.module.css";
import { coarseDuration, formatAbsolute, formatBytes } from "@/lib/format";
import { useLiveServer } from "@/lib/use-live";

export function allowed(t: TFunction, powers: Powers): string[] {
  return [
    powers.shell && t("powers.shell"),
    powers.commands && t("powers.commands"),
    powers.files === "read" && t("powers.filesRead"),
    powers.files === "write" && t("powers.filesWrite"),
    powers.docker === "read" && t("powers.dockerRead"),
    powers.docker === "actions" && t("powers.dockerActions"),
  ].filter((power) => power !== false);
}

export function Facts({ vps }: { vps: Vps }) {
  const { t, i18n } = useTranslation();
  const sample = useLiveServer(vps.id)?.sample ?? vps.latest;
  const { facts, powers, status, last_seen: lastSeen } = vps;
  const up = status === "online" ? (sample?.uptime ?? null) : null;
  if (!facts) return <div className={styles.facts}>{t(`status.${status}`)}</div>;
  const can = powers ? allowed(t, powers) : [];
  return (
    <div className={styles.facts}>
      <span>
        {facts.os_name} · <b>{facts.kernel}</b>
      </span>
      <span className={styles.model} title={facts.cpu_model}>
        {facts.cpu_model} · <b>{t("card.cores", { count: facts.cpu_count })}</b>
      </span>
      <span>
        {t("metric.memory")} <b>{formatBytes(facts.memory_total)}</b>
      </span>
      {vps.ip_address && (
        <span>
          {t("server.address")} <b>{vps.ip_address}</b>
        </span>
      )}
      {up !== null && (
        <span
          title={t("time.since", { time: formatAbsolute(Date.now() - up * 1000, i18n.language) })}
        >
          {t("server.up")} <b>{longDuration(up, i18n.language)}</b>
        </span>
      )}
      {status !== "online" && lastSeen && (
        <span>
          {t("server.lastSeen")}{" "}
          <b>
            <Ago time={lastSeen} />
          </b>
        </span>
      )}
      <span>
        {t("server.agent")} <b>{facts.agent_version}</b>
      </span>
      <span>
        {t("server.allowed")}{" "}
        <b>{can.length > 0 ? can.join(t("powers.and")) : t("powers.nothing")}</b>
        {powers && can.length > 0 && ` ${t("powers.as", { user: powers.user })}`}
      </span>
    </div>
  );
}

function longDuration(seconds: number, language: string): string {
  const { unit, count } = coarseDuration(seconds);
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(
    count,
  );
}
