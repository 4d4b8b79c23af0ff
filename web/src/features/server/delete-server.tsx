import { App, Button, Input, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useDeleteVps, type Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/server/settings.module.css";

export function DeleteServer({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { message } = App.useApp();
  const remove = useDeleteVps(vps.id);
  const [asking, setAsking] = useState(false);
  const [typed, setTyped] = useState("");
  const close = () => {
    setAsking(false);
    setTyped("");
    remove.reset();
  };
  const confirm = () =>
    remove.mutate(undefined, {
      onSuccess: () => {
        void message.success(t("delete.done", { name: vps.name }));
        void navigate("/", { replace: true });
      },
    });
  return (
    <section className={styles.danger}>
      <h2>{t("delete.title")}</h2>
      <p>{t("delete.text")}</p>
      <Button danger onClick={() => setAsking(true)}>
        {t("delete.title")}
      </Button>
      <Modal
        open={asking}
        title={t("delete.ask", { name: vps.name })}
        okText={t("delete.confirm")}
        cancelText={t("action.cancel")}
        okButtonProps={{ danger: true, disabled: typed !== vps.name }}
        confirmLoading={remove.isPending}
        onOk={confirm}
        onCancel={close}
        destroyOnHidden
      >
        <p>{t("delete.text")}</p>
        <div className={styles.confirm}>
          <label htmlFor="confirm-name">{t("delete.type", { name: vps.name })}</label>
          <Input
            id="confirm-name"
            value={typed}
            autoComplete="off"
            onChange={(event) => setTyped(event.target.value)}
            onPressEnter={() => typed === vps.name && confirm()}
          />
        </div>
        {remove.error && <FailureNote error={remove.error} />}
      </Modal>
    </section>
  );
}
