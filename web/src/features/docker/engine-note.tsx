import { useTranslation } from "react-i18next";
import { useRights } from "@/api/access";
import type { ContainerPage } from "@/api/docker";
import { isProblem } from "@/api/problem";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/docker/docker.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  vps: Vps;
  list?: ContainerPage;
  error: unknown;
  onRetry: () => void;
}

// Tells what limits the Docker page: an unreachable engine, an old list or read-only access.
export function EngineNote({ vps, list, error, onRetry }: Props) {
  const { t } = useTranslation();
  const { act } = useRights(vps);
  if (isProblem(error, "/problems/agent-unavailable") && !list) {
    return (
      <EmptyState
        icon="container"
        title={t("docker.noEngineTitle")}
        text={escapeInvisible(error.message)}
      >
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
    return <p className={styles.note}>{t(act ? "docker.readOnly" : "docker.readOnlyRole")}</p>;
  }
  return null;
}
