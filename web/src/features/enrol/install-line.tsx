import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { type Enrolment, useRenewEnrolment, type Vps } from "@/api/vps";
import { CopyLine } from "@/components/ui/copy-line";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrol/new-server-page.module.css";
import { useNow } from "@/lib/clock";
import { formatCountdown } from "@/lib/format";

interface Props {
  vps: Vps;
  enrolment: Enrolment | null;
  onIssued: (enrolment: Enrolment) => void;
}

export function InstallLine({ vps, enrolment, onIssued }: Props) {
  const { t } = useTranslation();
  const now = useNow(1000);
  const renew = useRenewEnrolment(vps.id);
  const left = enrolment ? (Date.parse(enrolment.expires_at) - now) / 1000 : 0;
  const dead = left <= 0;
  const issue = (
    <Button
      type={dead ? "primary" : "default"}
      loading={renew.isPending}
      onClick={() => renew.mutate(undefined, { onSuccess: onIssued })}
    >
      {enrolment ? t("enrol.renew") : t("enrol.issue")}
    </Button>
  );
  return (
    <section className={styles.box}>
      <h2>{t("enrol.lineTitle", { name: vps.name })}</h2>
      {enrolment ? (
        <>
          <p>{t("enrol.lineText")}</p>
          <CopyLine text={enrolment.install_command} disabled={dead} />
          <div className={styles.below}>
            {dead ? (
              <span className={styles.expired} role="alert">
                {t("enrol.expired")}
              </span>
            ) : (
              <span role="timer">{t("enrol.validFor", { left: formatCountdown(left) })}</span>
            )}
            {dead && issue}
          </div>
        </>
      ) : (
        <>
          <p>{t("enrol.hidden")}</p>
          <div className={styles.below}>{issue}</div>
        </>
      )}
      {renew.error && <FailureNote error={renew.error} />}
      <p className={styles.waiting} role="status">
        <i aria-hidden="true" />
        {t("enrol.waiting")}
      </p>
    </section>
  );
}
