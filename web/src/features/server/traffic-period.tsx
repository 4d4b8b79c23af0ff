import { useTranslation } from "react-i18next";
import type { TrafficMonth, TrafficSettings } from "@/api/traffic";
import styles from "@/features/server/traffic.module.css";
import { useNow } from "@/lib/clock";
import { DAY, levelOf, MINUTE } from "@/lib/format";
import { allowanceText, percentText, periodText, rateText, trafficText } from "@/lib/traffic";

interface Props {
  month: TrafficMonth;
  settings: TrafficSettings;
}

export function TrafficPeriod({ month, settings }: Props) {
  const { t, i18n } = useTranslation();
  const now = useNow(MINUTE * 1000);
  const { time_zone: timeZone, counted } = settings;
  const allowance = settings.allowance ?? null;
  const used = month.allowance_used;
  const days = Math.max(0, Math.ceil((Date.parse(month.ends_at) - now) / (DAY * 1000)));
  const reset = new Intl.DateTimeFormat(i18n.language, {
    dateStyle: "medium",
    timeStyle: "short",
    hourCycle: "h23",
    timeZone,
  }).format(new Date(month.ends_at));
  return (
    <section className={styles.period} data-testid="traffic-period">
      <h2>
        {t("traffic.thisPeriod")} <span>{periodText(month, timeZone, i18n.language)}</span>
      </h2>
      <p className={styles.total}>
        <b>
          {allowance === null
            ? trafficText(month.counted)
            : allowanceText(t, month.counted, allowance)}
        </b>
        <span>{t(`traffic.countedAs.${counted}`)}</span>
      </p>
      {used !== null && (
        <div
          className={`${styles.bar} ${styles[levelOf(used)]}`}
          role="progressbar"
          aria-label={t("traffic.ofAllowance")}
          aria-valuenow={Math.min(100, Math.round(used))}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuetext={percentText(used)}
        >
          <s style={{ transform: `scaleX(${Math.min(100, used) / 100})` }} />
        </div>
      )}
      <dl className={styles.figures}>
        <div>
          <dt>↓ {t("traffic.in")}</dt>
          <dd>{trafficText(month.total_rx + month.corrected_rx)}</dd>
        </div>
        <div>
          <dt>↑ {t("traffic.out")}</dt>
          <dd>{trafficText(month.total_tx + month.corrected_tx)}</dd>
        </div>
        {used !== null && (
          <div>
            <dt>{t("traffic.ofAllowance")}</dt>
            <dd>{percentText(used)}</dd>
          </div>
        )}
        <div title={t("traffic.p95Hint")}>
          <dt>{t("traffic.p95")}</dt>
          <dd>
            ↓ {rateText(month.rx_p95)} · ↑ {rateText(month.tx_p95)}
          </dd>
        </div>
        <div title={t("traffic.coverageHint")}>
          <dt>{t("traffic.coverage")}</dt>
          <dd>{percentText(month.coverage)}</dd>
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
