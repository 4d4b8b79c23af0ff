import { useTranslation } from "react-i18next";
import type { ContainerPage } from "@/api/docker";
import { ApiError } from "@/api/problem";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Ago } from "@/components/ui/moments";
import styles from "@/features/docker/docker.module.css";
import { visible } from "@/lib/visible";

interface Props {
  vps: Vps;
  list?: ContainerPage;
  error: unknown;
  onRetry: () => void;
}

// What is known of the engine besides its containers: nothing to say where all is well.
export function EngineNote({ vps, list, error, onRetry }: Props) {
  const { t } = useTranslation();
  if (error instanceof ApiError && error.agentFailure === "unavailable" && !list) {
    return (
      <EmptyState icon="container" title={t("docker.noEngineTitle")} text={visible(error.message)}>
        <p>{t("docker.noEngineText")}</p>
      </EmptyState>
    );
  }
  if (error) return <FailureNote error={error} onRetry={onRetry} />;
  if (list && !list.live) {
    return (
      <p className={styles.note} role="status">
        {t(vps.status === "online" ? "docker.notAnswering" : "docker.offline")}{" "}
        <Ago time={list.as_of} />
      </p>
    );
  }
  if (vps.powers?.docker === "read") {
    return <p className={styles.note}>{t("docker.readOnly")}</p>;
  }
  return null;
}
