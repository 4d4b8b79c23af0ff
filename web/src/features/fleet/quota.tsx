import { useTranslation } from "react-i18next";
import type { PeriodTraffic } from "@/api/overview";
import styles from "@/features/fleet/server-card.module.css";
import { allowanceText, periodText } from "@/features/traffic/monthly-traffic";
import { levelOf } from "@/lib/format/numbers";
import { useFormat } from "@/lib/use-format";

// Traffic of the current period, with its allowance if there is one.
export function Quota({ traffic }: { traffic: PeriodTraffic }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { counted, allowance, allowance_used: used, time_zone } = traffic;
  const title = t("card.period", { period: periodText(traffic, time_zone, format) });
  if (used === null || allowance === null) {
    return (
      <span className={styles.spent} title={title}>
        {format.traffic(counted)}
      </span>
    );
  }
  return (
    <span className={`${styles.quota} ${styles[levelOf(used)]}`} title={title}>
      <u>
        <s style={{ transform: `scaleX(${Math.min(100, used) / 100})` }} />
      </u>
      {allowanceText(t, format, counted, allowance)}
    </span>
  );
}
