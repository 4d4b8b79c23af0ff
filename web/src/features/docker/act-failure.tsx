import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/docker/docker.module.css";
import type { Doing } from "@/features/docker/use-acts";
import { describeFailure } from "@/lib/failure";
import { visible } from "@/lib/visible";

interface Props {
  doing: Doing | undefined;
  onDismiss: () => void;
}

// What did not work, where it was asked for.
export function ActFailure({ doing, onDismiss }: Props) {
  const { t } = useTranslation();
  if (!doing || doing.error === null) return null;
  const { what, why, requestId } = describeFailure(doing.error, t);
  return (
    <div className={styles.failed} role="alert">
      <span>
        <b>{t("docker.failed", { act: t(`docker.act.${doing.act}`), what })}</b> {visible(why)}
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
