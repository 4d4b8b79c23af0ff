import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import type { PendingAction } from "@/features/docker/containers/use-container-actions";
import styles from "@/features/docker/docker.module.css";
import { describeFailure } from "@/lib/described-error";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  pending: PendingAction | undefined;
  onDismiss: () => void;
}

// Shows a failed action beside its container.
export function ActionFailure({ pending, onDismiss }: Props) {
  const { t } = useTranslation();
  if (!pending || pending.error === null) return null;
  const { what, why, requestId } = describeFailure(pending.error, t);
  return (
    <div className={styles.failed} role="alert">
      <span>
        <b>{t("docker.failed", { act: t(`docker.action.${pending.act}`), what })}</b>{" "}
        {escapeInvisible(why)}
        {requestId && (
          <small>
            {" "}
            {t("failure.requestId")} {requestId}
          </small>
        )}
      </span>
      <Button
        type="text"
        size="small"
        icon={<Icon name="close" size={13} />}
        aria-label={t("action.dismiss")}
        onClick={onDismiss}
      />
    </div>
  );
}
