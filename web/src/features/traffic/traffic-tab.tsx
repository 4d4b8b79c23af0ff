import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { useRights } from "@/api/access";
import { trafficQuery } from "@/api/traffic";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { useServerContext } from "@/features/server/server-context";
import { CorrectionForm } from "@/features/traffic/correction-form";
import { CountingForm } from "@/features/traffic/counting-form";
import { DailyTraffic } from "@/features/traffic/daily-traffic";
import { currentMonth } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { TrafficPeriod } from "@/features/traffic/traffic-period";
import { Corrections, PastPeriods } from "@/features/traffic/traffic-tables";
import { MINUTE } from "@/lib/format/durations";

const MONTHS = 13; // the present period and a year of earlier ones

export function TrafficTab() {
  const { vps } = useServerContext();
  const { t } = useTranslation();
  const { manage } = useRights(vps);
  const { data, error, refetch } = useQuery({
    ...trafficQuery(vps.id, MONTHS),
    refetchInterval: MINUTE * 1000,
  });
  if (!data) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const { settings, months, corrections } = data;
  const current = currentMonth(months);
  return (
    <div className={styles.traffic}>
      {current ? (
        <>
          <TrafficPeriod month={current} settings={settings} createdAt={vps.created_at} />
          <DailyTraffic server={vps.id} month={current} settings={settings} />
        </>
      ) : (
        <EmptyState icon="server" title={t("traffic.emptyTitle")} text={t("traffic.emptyText")} />
      )}
      {months.length > 0 && <PastPeriods traffic={data} />}
      <div className={styles.forms}>
        {manage && (
          <section>
            <h2>{t("traffic.counting")}</h2>
            <p>{t("traffic.countingHint")}</p>
            <CountingForm key={JSON.stringify(settings)} id={vps.id} settings={settings} />
          </section>
        )}
        {months.length > 0 && (
          <section>
            <h2>{t("traffic.corrections")}</h2>
            {manage && <p>{t("traffic.correctionsHint")}</p>}
            <Corrections corrections={corrections} />
            {manage && <CorrectionForm id={vps.id} months={months} timeZone={settings.time_zone} />}
          </section>
        )}
      </div>
    </div>
  );
}
