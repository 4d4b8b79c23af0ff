import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import { useRemoveTotp } from "@/api/factors";
import { ProofForm } from "@/features/account/security/proof-form";

export function TurnOff({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const remove = useRemoveTotp();
  return (
    <Modal open title={t("security.turnOffTitle")} onCancel={onClose} footer={null}>
      <p>{t("security.turnOffHint")}</p>
      <ProofForm
        kind="password"
        submit={t("security.turnOff")}
        danger
        busy={remove.isPending}
        error={remove.error}
        onSubmit={(password) => remove.mutate(password, { onSuccess: onClose })}
      />
    </Modal>
  );
}
