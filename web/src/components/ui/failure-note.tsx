import { Button } from "antd";
import { useTranslation } from "react-i18next";
import styles from "@/components/ui/failure-note.module.css";
import { describeFailure } from "@/lib/described-error";

interface Props {
  error: unknown;
  onRetry?: (() => void) | undefined;
}

export function FailureNote({ error, onRetry }: Props) {
  const { t } = useTranslation();
  const { what, why, todo, requestId } = describeFailure(error, t);
  return (
    <div className={styles.note} role="alert">
      <strong>{what}</strong>
      {why && <p>{why}</p>}
      <p>{todo}</p>
      {requestId && (
        <p className={styles.request}>
          {t("failure.requestId")} <code>{requestId}</code>
        </p>
      )}
      {onRetry && (
        <Button size="small" onClick={onRetry}>
          {t("action.retry")}
        </Button>
      )}
    </div>
  );
}
