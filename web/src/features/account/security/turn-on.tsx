import { useMutation } from "@tanstack/react-query";
import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import { enrolTotp, type TotpEnrolment, useConfirmTotp } from "@/api/factors";
import { CopyButton } from "@/components/ui/copy-button";
import { ProofForm } from "@/features/account/security/proof-form";
import { RecoveryCodes } from "@/features/account/security/recovery-codes";
import styles from "@/features/account/security/security.module.css";

// Three steps: the password, the first code of the app, and the recovery codes.
export function TurnOn({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const enrol = useMutation({ mutationFn: enrolTotp, gcTime: 0 });
  const confirm = useConfirmTotp();
  return (
    <Modal
      open
      title={t(confirm.data ? "security.codesTitle" : "security.turnOnTitle")}
      onCancel={onClose}
      footer={null}
      mask={{ closable: false }}
      keyboard={!confirm.data}
    >
      {confirm.data ? (
        <RecoveryCodes codes={confirm.data} onDone={onClose} />
      ) : enrol.data ? (
        <>
          <Setup enrolment={enrol.data} />
          <ProofForm
            key="code"
            kind="code"
            submit={t("security.confirm")}
            busy={confirm.isPending}
            error={confirm.error}
            onSubmit={(code) => confirm.mutate(code)}
          />
        </>
      ) : (
        <>
          <p>{t("security.passwordHint")}</p>
          <ProofForm
            key="password"
            kind="password"
            submit={t("security.next")}
            busy={enrol.isPending}
            error={enrol.error}
            onSubmit={(password) => enrol.mutate(password)}
          />
        </>
      )}
    </Modal>
  );
}

function Setup({ enrolment }: { enrolment: TotpEnrolment }) {
  const { t } = useTranslation();
  const { secret, qr_svg } = enrolment;
  return (
    <div className={styles.setup}>
      <img
        src={`data:image/svg+xml,${encodeURIComponent(qr_svg)}`}
        alt={t("security.qr")}
        width={184}
        height={184}
      />
      <div>
        <p>{t("security.scan")}</p>
        <p className={styles.secret} data-testid="totp-secret">
          {secret.match(/.{1,4}/g)?.join(" ")}
        </p>
        <CopyButton wide label={t("action.copy")} text={() => secret} />
      </div>
    </div>
  );
}
