import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import type { Permissions, Vps } from "@/api/vps";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/server/server-page.module.css";
import { useFormat } from "@/lib/use-format";
import { useLiveServer } from "@/live/use-live";

export function allowed(t: TFunction, powers: Permissions): string[] {
  return [
    powers.shell && t("permissionList.shell"),
    powers.commands && t("permissionList.commands"),
    powers.files === "read" && t("permissionList.filesRead"),
    powers.files === "write" && t("permissionList.filesWrite"),
    powers.docker === "read" && t("permissionList.dockerRead"),
    powers.docker === "actions" && t("permissionList.dockerActions"),
  ].filter((power) => power !== false);
}

export function Facts({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const format = useFormat();
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
        {t("metric.memory")} <b>{format.size(facts.memory_total)}</b>
      </span>
      {vps.ip_address && (
        <span>
          {t("server.address")} <b>{vps.ip_address}</b>
        </span>
      )}
      {up !== null && (
        <span title={t("time.since", { time: format.dateTime(Date.now() - up * 1000) })}>
          {t("server.up")} <b>{format.longDuration(up)}</b>
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
        <b>{can.length > 0 ? can.join(t("separator")) : t("permissionList.nothing")}</b>
        {powers && can.length > 0 && ` ${t("permissionList.as", { user: powers.user })}`}
      </span>
    </div>
  );
}
