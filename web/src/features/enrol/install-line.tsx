import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Enrolment, useRenewEnrolment, type Vps, type WantedPowers } from "@/api/vps";
import { CopyLine } from "@/components/ui/copy-line";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrol/new-server-page.module.css";
import { PowersFields } from "@/features/enrol/powers-fields";
import { askedFor, wantedAsNow } from "@/features/enrol/wanted-powers";
import { useNow } from "@/lib/clock";
import { formatCountdown } from "@/lib/format";

interface Props {
  vps: Vps;
  // Null when the page does not know the line that was made last, nor what it allowed.
  issued: { enrolment: Enrolment; powers: WantedPowers } | null;
  onIssued: (enrolment: Enrolment, powers: WantedPowers) => void;
}

export function InstallLine({ vps, issued, onIssued }: Props) {
  const { t } = useTranslation();
  const now = useNow(1000);
  const renew = useRenewEnrolment(vps.id);
  const [wanted, setWanted] = useState(issued?.powers ?? wantedAsNow(vps.powers));
  const enrolment = issued?.enrolment;
  const makeNew = () => {
    const powers = askedFor(wanted);
    renew.mutate(powers, { onSuccess: (made) => onIssued(made, powers) });
  };
  const left = enrolment ? (Date.parse(enrolment.expires_at) - now) / 1000 : 0;
  const dead = left <= 0;
  const issue = (
    <Button type={dead ? "primary" : "default"} loading={renew.isPending} onClick={makeNew}>
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
          <p>{t(vps.status === "pending" ? "enrol.hidden" : "enrol.again")}</p>
          <PowersFields value={wanted} onChange={setWanted} />
          <div className={styles.below}>{issue}</div>
        </>
      )}
      {renew.error && <FailureNote error={renew.error} />}
      {vps.status === "pending" && (
        <p className={styles.waiting} role="status">
          <i aria-hidden="true" />
          {t("enrol.waiting")}
        </p>
      )}
    </section>
  );
}
