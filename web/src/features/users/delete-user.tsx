import { App, Input, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type ListedUser, useDeleteUser } from "@/api/users";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/users/users.module.css";

export function DeleteUser({ user, onClose }: { user: ListedUser; onClose: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const remove = useDeleteUser();
  const [typed, setTyped] = useState("");
  const name = user.username;
  const confirm = () =>
    remove.mutate(user.id, {
      onSuccess: () => {
        void message.success(t("users.deleted", { name }));
        onClose();
      },
    });
  return (
    <Modal
      open
      title={t("users.deleteAsk", { name })}
      okText={t("users.delete")}
      cancelText={t("action.cancel")}
      okButtonProps={{ danger: true, disabled: typed !== name }}
      confirmLoading={remove.isPending}
      onOk={confirm}
      onCancel={onClose}
    >
      <p>{t("users.deleteText")}</p>
      <div className={styles.confirm}>
        <label htmlFor="confirm-user">{t("users.type", { name })}</label>
        <Input
          id="confirm-user"
          value={typed}
          autoComplete="off"
          onChange={(event) => setTyped(event.target.value)}
          onPressEnter={() => typed === name && confirm()}
        />
      </div>
      {remove.error && <FailureNote error={remove.error} />}
    </Modal>
  );
}
