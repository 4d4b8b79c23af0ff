import { useTranslation } from "react-i18next";
import type { TrafficMonth, TrafficSettings } from "@/api/traffic";
import { periodText } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { TrafficUse } from "@/features/traffic/traffic-use";
import { useNow } from "@/lib/clock";
import { DAY, MINUTE } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

interface Props {
  month: TrafficMonth;
  settings: TrafficSettings;
  createdAt: string;
}

export function TrafficPeriod({ month, settings, createdAt }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const now = useNow(MINUTE * 1000);
  const { time_zone: timeZone } = settings;
  const used = month.allowance_used;
  const days = Math.max(0, Math.ceil((Date.parse(month.ends_at) - now) / (DAY * 1000)));
  const reset = format.dateTimeIn(month.ends_at, timeZone);
  return (
    <section className={styles.period} data-testid="traffic-period">
      <h2>
        {t("traffic.thisPeriod")} <span>{periodText(month, timeZone, format)}</span>
      </h2>
      <TrafficUse month={month} settings={settings} createdAt={createdAt} />
      <dl className={styles.figures}>
        <div>
          <dt>↓ {t("traffic.in")}</dt>
          <dd>{format.traffic(month.total_rx + month.corrected_rx)}</dd>
        </div>
        <div>
          <dt>↑ {t("traffic.out")}</dt>
          <dd>{format.traffic(month.total_tx + month.corrected_tx)}</dd>
        </div>
        {used !== null && (
          <div>
            <dt>{t("traffic.ofAllowance")}</dt>
            <dd>{format.percent(used)}</dd>
          </div>
        )}
        <div title={t("traffic.p95Hint")}>
          <dt>{t("traffic.p95")}</dt>
          <dd>
            ↓ {format.networkRate(month.rx_p95)} · ↑ {format.networkRate(month.tx_p95)}
          </dd>
        </div>
        <div title={t("traffic.coverageHint")}>
          <dt>{t("traffic.coverage")}</dt>
          <dd>{format.percent(month.coverage)}</dd>
        </div>
        <div>
          <dt>{t("traffic.nextReset")}</dt>
          <dd>
            {reset} <small>{t("traffic.inDays", { count: days })}</small>
          </dd>
        </div>
      </dl>
    </section>
  );
}
