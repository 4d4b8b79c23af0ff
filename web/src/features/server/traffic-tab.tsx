import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useOutletContext } from "react-router";
import { trafficQuery } from "@/api/traffic";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { CorrectionForm } from "@/features/server/correction-form";
import { CountingForm } from "@/features/server/counting-form";
import type { ServerContext } from "@/features/server/server-page";
import styles from "@/features/server/traffic.module.css";
import { TrafficPeriod } from "@/features/server/traffic-period";
import { Corrections, PastPeriods } from "@/features/server/traffic-tables";
import { MINUTE } from "@/lib/format";
import { currentMonth } from "@/lib/traffic";

const MONTHS = 13; // this period and a year of others

export function TrafficTab() {
  const { vps } = useOutletContext<ServerContext>();
  const { t } = useTranslation();
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
        <TrafficPeriod month={current} settings={settings} />
      ) : (
        <EmptyState icon="server" title={t("traffic.emptyTitle")} text={t("traffic.emptyText")} />
      )}
      {months.length > 0 && <PastPeriods traffic={data} />}
      <div className={styles.forms}>
        <section>
          <h2>{t("traffic.counting")}</h2>
          <p>{t("traffic.countingHint")}</p>
          <CountingForm key={JSON.stringify(settings)} id={vps.id} settings={settings} />
        </section>
        {months.length > 0 && (
          <section>
            <h2>{t("traffic.corrections")}</h2>
            <p>{t("traffic.correctionsHint")}</p>
            <Corrections corrections={corrections} />
            <CorrectionForm id={vps.id} months={months} timeZone={settings.time_zone} />
          </section>
        )}
      </div>
    </div>
  );
}
