import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Enrolment, type RequestedPermissions, useRenewEnrolment, type Vps } from "@/api/vps";
import { CopyLine } from "@/components/ui/copy-line";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrolment/new-server-page.module.css";
import { PermissionFields } from "@/features/enrolment/permission-fields";
import { currentPermissions, withoutBlankRoots } from "@/features/enrolment/requested-permissions";
import { useNow } from "@/lib/clock";
import { formatCountdown } from "@/lib/format/durations";

interface Props {
  vps: Vps;
  // Null if this page did not create the last install line.
  issued: { enrolment: Enrolment; powers: RequestedPermissions } | null;
  onIssued: (enrolment: Enrolment, powers: RequestedPermissions) => void;
}

export function InstallLine({ vps, issued, onIssued }: Props) {
  const { t } = useTranslation();
  const now = useNow(1000);
  const renew = useRenewEnrolment(vps.id);
  const [requested, setWanted] = useState(issued?.powers ?? currentPermissions(vps.powers));
  const enrolment = issued?.enrolment;
  const makeNew = () => {
    const powers = withoutBlankRoots(requested);
    renew.mutate(powers, { onSuccess: (made) => onIssued(made, powers) });
  };
  const left = enrolment ? (Date.parse(enrolment.expires_at) - now) / 1000 : 0;
  const dead = left <= 0;
  const issue = (
    <Button type={dead ? "primary" : "default"} loading={renew.isPending} onClick={makeNew}>
      {enrolment ? t("enrolment.renew") : t("enrolment.issue")}
    </Button>
  );
  return (
    <section className={styles.box}>
      <h2>{t("enrolment.lineTitle", { name: vps.name })}</h2>
      {enrolment ? (
        <>
          <p>{t("enrolment.lineText")}</p>
          <CopyLine text={enrolment.install_command} disabled={dead} />
          <div className={styles.below}>
            {dead ? (
              <span className={styles.expired} role="alert">
                {t("enrolment.expired")}
              </span>
            ) : (
              <span role="timer">{t("enrolment.validFor", { left: formatCountdown(left) })}</span>
            )}
            {dead && issue}
          </div>
        </>
      ) : (
        <>
          <p>{t(vps.status === "pending" ? "enrolment.hidden" : "enrolment.again")}</p>
          <PermissionFields value={requested} onChange={setWanted} />
          <div className={styles.below}>{issue}</div>
        </>
      )}
      {renew.error && <FailureNote error={renew.error} />}
      {vps.status === "pending" && (
        <p className={styles.waiting} role="status">
          <i aria-hidden="true" />
          {t("enrolment.waiting")}
        </p>
      )}
    </section>
  );
}
