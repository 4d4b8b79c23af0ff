import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import styles from "@/features/runs/run-form.module.css";

interface Props {
  servers: readonly Vps[];
  script: string;
  timeout: number; // seconds
  onConfirm: () => void;
  onCancel: () => void;
}

export function RunConfirm({ servers, script, timeout, onConfirm, onCancel }: Props) {
  const { t } = useTranslation();
  return (
    <Modal
      open
      title={t("run.ask", { count: servers.length })}
      okText={t("run.runOn", { count: servers.length })}
      cancelText={t("action.cancel")}
      okButtonProps={{ autoFocus: true }}
      onOk={onConfirm}
      onCancel={onCancel}
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <ul className={styles.names} tabIndex={0} aria-label={t("run.servers")}>
        {servers.map(({ id, name, powers }) => (
          <li key={id}>
            <b>{name}</b> {powers && t("run.as", { user: powers.user })}
          </li>
        ))}
      </ul>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre className={styles.preview} tabIndex={0}>
        {script}
      </pre>
      <p className={styles.soft}>{t("run.askTimeout", { seconds: timeout })}</p>
    </Modal>
  );
}
