import { useTranslation } from "react-i18next";
import type { Traffic } from "@/api/traffic";
import styles from "@/features/fleet/fleet.module.css";
import { levelOf } from "@/lib/format";
import { allowanceText, currentMonth, periodText, trafficText } from "@/lib/traffic";

// The period's traffic, against its allowance where there is one.
export function Quota({ traffic }: { traffic: Traffic }) {
  const { t, i18n } = useTranslation();
  const { settings, months } = traffic;
  const month = currentMonth(months);
  if (!month) return null;
  const title = t("card.period", { period: periodText(month, settings.time_zone, i18n.language) });
  const used = month.allowance_used;
  if (used === null || !settings.allowance) {
    return (
      <span className={styles.spent} title={title}>
        {trafficText(month.counted)}
      </span>
    );
  }
  return (
    <span className={`${styles.quota} ${styles[levelOf(used)]}`} title={title}>
      <u>
        <s style={{ transform: `scaleX(${Math.min(100, used) / 100})` }} />
      </u>
      {allowanceText(t, month.counted, settings.allowance)}
    </span>
  );
}
