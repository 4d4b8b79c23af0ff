import { Modal } from "antd";
import type { FormEvent, ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import type { Batch } from "@/features/files/browser/use-batch";
import styles from "@/features/files/dialogs/dialogs.module.css";
import { describeFailure } from "@/lib/described-error";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props<T> {
  title: string;
  okText: string;
  danger?: boolean;
  disabled?: boolean;
  batch: Batch<T>;
  nameOf: (item: T) => string;
  // If missing, existing files cannot be replaced.
  onReplace?: (() => void) | undefined;
  onOk: () => void;
  onClose: () => void;
  children: ReactNode;
}

const FAILURES_SHOWN = 5;
const FORM = "file-act";

// A dialog that asks, shows progress, and then lists what failed.
export function ActionDialog<T>(props: Props<T>) {
  const { title, okText, danger = false, disabled = false, batch, nameOf, children } = props;
  const { onReplace, onOk, onClose } = props;
  const { t } = useTranslation();
  const { running, done, total, failed, existing } = batch;
  const replacing = onReplace !== undefined && existing.length > 0;
  const others = replacing ? failed.filter((one) => !existing.includes(one)) : failed;
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
          {existing.slice(0, FAILURES_SHOWN).map(({ item, error }) => (
            <span key={nameOf(item)}>{escapeInvisible(describeFailure(error, t).why)}</span>
          ))}
          {existing.length > FAILURES_SHOWN && (
            <span>{t("action.more", { n: existing.length - FAILURES_SHOWN })}</span>
          )}
          {t("files.replaceQuestion")}
        </div>
      )}
      {!running && only && others.length === 1 && <FailureNote error={only.error} />}
      {!running && others.length > 1 && (
        <ul className={styles.failures} role="alert">
          {others.slice(0, FAILURES_SHOWN).map(({ item, error }) => {
            const { what, why } = describeFailure(error, t);
            return (
              <li key={nameOf(item)}>
                <b>{escapeInvisible(nameOf(item))}</b> {what}: {escapeInvisible(why)}
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
