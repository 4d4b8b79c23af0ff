import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { trafficQuery } from "@/api/traffic";
import type { Vps } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import { currentMonth, periodText } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { TrafficUse } from "@/features/traffic/traffic-use";
import { MINUTE } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

// Summary of the present period's traffic. It is absent until traffic has been counted.
export function TrafficPanel({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { data } = useQuery({ ...trafficQuery(vps.id, 1), refetchInterval: MINUTE * 1000 });
  const month = currentMonth(data?.months ?? []);
  if (!data || !month) return null;
  const { settings } = data;
  return (
    <Panel title={t("traffic.panel")} className={styles.short}>
      <p className={styles.when}>{periodText(month, settings.time_zone, format)}</p>
      <TrafficUse month={month} settings={settings} createdAt={vps.created_at} />
      <p className={styles.directions}>
        <span>
          ↓ {t("traffic.in")} <b>{format.traffic(month.total_rx + month.corrected_rx)}</b>
        </span>
        <span>
          ↑ {t("traffic.out")} <b>{format.traffic(month.total_tx + month.corrected_tx)}</b>
        </span>
        <Link to="traffic">{t("traffic.details")}</Link>
      </p>
    </Panel>
  );
}
