import { useTranslation } from "react-i18next";
import type { TrafficMonth, TrafficSettings } from "@/api/traffic";
import { allowanceText, forecastOf } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { levelOf } from "@/lib/format/numbers";
import { useFormat } from "@/lib/use-format";

interface Props {
  month: TrafficMonth;
  settings: TrafficSettings;
  // Time at which the server was added.
  createdAt: string;
}

// The counted traffic of a period and the expected total at its end, compared with the allowance.
export function TrafficUse({ month, settings, createdAt }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const { counted } = settings;
  const allowance = settings.allowance ?? null;
  const used = month.allowance_used;
  const forecast = forecastOf(month, counted, createdAt);
  const share = allowance !== null && forecast !== null ? (100 * forecast) / allowance : null;
  const end = format.dayIn(Date.parse(month.ends_at) - 1, settings.time_zone);
  return (
    <>
      <p className={styles.total}>
        <b>
          {allowance === null
            ? format.traffic(month.counted)
            : allowanceText(t, format, month.counted, allowance)}
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
          aria-valuetext={format.percent(used)}
        >
          {share !== null && <i style={{ transform: `scaleX(${Math.min(100, share) / 100})` }} />}
          <s style={{ transform: `scaleX(${Math.min(100, used) / 100})` }} />
        </div>
      )}
      {forecast !== null && (
        <p className={styles.forecast} data-level={share === null ? undefined : levelOf(share)}>
          {share === null
            ? t("traffic.forecast", { end, amount: format.traffic(forecast) })
            : t(share > 100 ? "traffic.forecastOver" : "traffic.forecastOf", {
                end,
                amount: format.traffic(forecast),
                share: format.percent(share),
              })}
        </p>
      )}
    </>
  );
}
