import { Modal } from "antd";
import type { FormEvent, ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/files/dialogs.module.css";
import type { Batch } from "@/features/files/use-batch";
import { describeFailure } from "@/lib/failure";
import { visible } from "@/lib/visible";

interface Props<T> {
  title: string;
  okText: string;
  danger?: boolean;
  disabled?: boolean;
  batch: Batch<T>;
  nameOf: (item: T) => string;
  // Without, what is there already cannot be replaced.
  onReplace?: (() => void) | undefined;
  onOk: () => void;
  onClose: () => void;
  children: ReactNode;
}

const FAILURES_SHOWN = 5;
const FORM = "file-act";

// A question, the doing, and what did not work of it, in one place.
export function ActModal<T>(props: Props<T>) {
  const { title, okText, danger = false, disabled = false, batch, nameOf, children } = props;
  const { onReplace, onOk, onClose } = props;
  const { t } = useTranslation();
  const { running, done, total, failed, taken } = batch;
  const replacing = onReplace !== undefined && taken.length > 0;
  const others = replacing ? failed.filter((one) => !taken.includes(one)) : failed;
  const [only] = others;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (disabled || running) return;
    if (replacing) onReplace();
    else onOk();
  };
  return (
    <Modal
      open
      title={title}
      okText={replacing ? t("files.replace") : okText}
      okButtonProps={{ danger: danger || replacing, disabled, htmlType: "submit", form: FORM }}
      cancelText={t("action.cancel")}
      confirmLoading={running}
      mask={{ closable: !running }}
      onCancel={onClose}
      cancelButtonProps={{ autoFocus: danger }}
    >
      <form id={FORM} className={styles.form} onSubmit={submit}>
        {children}
      </form>
      {running && total > 1 && <p role="status">{t("files.progress", { done, total })}</p>}
      {replacing && (
        <div className={styles.taken} role="alert">
          {taken.slice(0, FAILURES_SHOWN).map(({ item, error }) => (
            <span key={nameOf(item)}>{visible(describeFailure(error, t).why)}</span>
          ))}
          {taken.length > FAILURES_SHOWN && (
            <span>{t("action.more", { n: taken.length - FAILURES_SHOWN })}</span>
          )}
          {t("files.taken")}
        </div>
      )}
      {!running && only && others.length === 1 && <FailureNote error={only.error} />}
      {!running && others.length > 1 && (
        <ul className={styles.failures} role="alert">
          {others.slice(0, FAILURES_SHOWN).map(({ item, error }) => {
            const { what, why } = describeFailure(error, t);
            return (
              <li key={nameOf(item)}>
                <b>{visible(nameOf(item))}</b> {what}: {visible(why)}
              </li>
            );
          })}
          {others.length > FAILURES_SHOWN && (
            <li>{t("action.more", { n: others.length - FAILURES_SHOWN })}</li>
          )}
        </ul>
      )}
    </Modal>
  );
}
