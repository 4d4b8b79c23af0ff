import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import { useRenewCodes } from "@/api/factors";
import { ProofForm } from "@/features/account/security/proof-form";
import { RecoveryCodes } from "@/features/account/security/recovery-codes";

export function RenewCodes({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const renew = useRenewCodes();
  return (
    <Modal
      open
      title={t("security.codesTitle")}
      onCancel={onClose}
      footer={null}
      mask={{ closable: false }}
      keyboard={!renew.data}
    >
      {renew.data ? (
        <RecoveryCodes codes={renew.data} onDone={onClose} />
      ) : (
        <>
          <p>{t("security.renewHint")}</p>
          <ProofForm
            kind="code"
            submit={t("security.renew")}
            busy={renew.isPending}
            error={renew.error}
            onSubmit={(code) => renew.mutate(code)}
          />
        </>
      )}
    </Modal>
  );
}
