import { useTranslation } from "react-i18next";
import type { Traffic } from "@/api/traffic";
import { Panel } from "@/components/ui/panel";
import { Ago } from "@/components/ui/relative-time";
import tables from "@/components/ui/table.module.css";
import { periodText } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import type { Format } from "@/lib/format/format";
import { useFormat } from "@/lib/use-format";

export function PastPeriods({ traffic }: { traffic: Traffic }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { settings, months } = traffic;
  return (
    <Panel title={t("traffic.past")}>
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
              <th scope="row">{periodText(month, settings.time_zone, format)}</th>
              <td data-label={`↓ ${t("traffic.in")}`}>
                {format.traffic(month.total_rx + month.corrected_rx)}
              </td>
              <td data-label={`↑ ${t("traffic.out")}`}>
                {format.traffic(month.total_tx + month.corrected_tx)}
              </td>
              <td data-label={t("traffic.counted")}>{format.traffic(month.counted)}</td>
              <td data-label={t("traffic.ofAllowance")}>{format.percent(month.allowance_used)}</td>
              <td data-label={t("traffic.p95")}>
                ↓ {format.networkRate(month.rx_p95)} · ↑ {format.networkRate(month.tx_p95)}
              </td>
              <td data-label={t("traffic.coverage")}>{format.percent(month.coverage)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

export function Corrections({ corrections }: { corrections: Traffic["corrections"] }) {
  const { t } = useTranslation();
  const format = useFormat();
  if (corrections.length === 0) return <p className={styles.none}>{t("traffic.noCorrections")}</p>;
  return (
    <ol className={styles.corrections}>
      {corrections.toReversed().map(({ id, month, rx, tx, reason, author, created_at }) => (
        <li key={id}>
          <b>{month}</b>
          <span className={styles.amounts}>
            {rx !== 0 && <>↓ {signed(format, rx)} </>}
            {tx !== 0 && <>↑ {signed(format, tx)}</>}
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

function signed(format: Format, bytes: number): string {
  return `${bytes < 0 ? "−" : "+"}${format.traffic(Math.abs(bytes))}`;
}
