import { useTranslation } from "react-i18next";
import type { Traffic } from "@/api/traffic";
import { Ago } from "@/components/ui/moments";
import tables from "@/features/server/server.module.css";
import styles from "@/features/server/traffic.module.css";
import { percentText, periodText, rateText, trafficText } from "@/lib/traffic";

export function PastPeriods({ traffic }: { traffic: Traffic }) {
  const { t, i18n } = useTranslation();
  const { settings, months } = traffic;
  return (
    <section className={tables.panel}>
      <h2>{t("traffic.past")}</h2>
      <table className={`${tables.table} ${styles.periods}`}>
        <thead>
          <tr>
            <th scope="col">{t("traffic.period")}</th>
            <th scope="col">↓ {t("traffic.in")}</th>
            <th scope="col">↑ {t("traffic.out")}</th>
            <th scope="col">{t("traffic.counted")}</th>
            <th scope="col">{t("traffic.ofAllowance")}</th>
            <th scope="col" title={t("traffic.p95Hint")}>
              {t("traffic.p95")}
            </th>
            <th scope="col" title={t("traffic.coverageHint")}>
              {t("traffic.coverage")}
            </th>
          </tr>
        </thead>
        <tbody>
          {months.map((month) => (
            <tr key={month.month}>
              <th scope="row">{periodText(month, settings.time_zone, i18n.language)}</th>
              <td data-label={`↓ ${t("traffic.in")}`}>
                {trafficText(month.total_rx + month.corrected_rx)}
              </td>
              <td data-label={`↑ ${t("traffic.out")}`}>
                {trafficText(month.total_tx + month.corrected_tx)}
              </td>
              <td data-label={t("traffic.counted")}>{trafficText(month.counted)}</td>
              <td data-label={t("traffic.ofAllowance")}>{percentText(month.allowance_used)}</td>
              <td data-label={t("traffic.p95")}>
                ↓ {rateText(month.rx_p95)} · ↑ {rateText(month.tx_p95)}
              </td>
              <td data-label={t("traffic.coverage")}>{percentText(month.coverage)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function Corrections({ corrections }: { corrections: Traffic["corrections"] }) {
  const { t } = useTranslation();
  if (corrections.length === 0) return <p className={styles.none}>{t("traffic.noCorrections")}</p>;
  return (
    <ol className={styles.corrections}>
      {corrections.toReversed().map(({ id, month, rx, tx, reason, author, created_at }) => (
        <li key={id}>
          <b>{month}</b>
          <span className={styles.amounts}>
            {rx !== 0 && <>↓ {signed(rx)} </>}
            {tx !== 0 && <>↑ {signed(tx)}</>}
          </span>
          <span className={styles.reason}>{reason}</span>
          <small>
            {author} · <Ago time={created_at} />
          </small>
        </li>
      ))}
    </ol>
  );
}

function signed(bytes: number): string {
  return `${bytes < 0 ? "−" : "+"}${trafficText(Math.abs(bytes))}`;
}
