import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Tooltip } from "antd";
import { lazy, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { useRights } from "@/api/access";
import {
  type Container,
  type ContainerAction,
  containerQuery,
  containersQuery,
} from "@/api/docker";
import { isNotFound } from "@/api/problem";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import { ActionFailure } from "@/features/docker/containers/action-failure";
import { ContainerActions } from "@/features/docker/containers/container-actions";
import { ContainerCharts } from "@/features/docker/containers/container-charts";
import { ContainerFacts } from "@/features/docker/containers/container-facts";
import { nameOf } from "@/features/docker/containers/container-groups";
import styles from "@/features/docker/containers/container-page.module.css";
import { StateMark } from "@/features/docker/containers/state-mark";
import { useConfirmedAction } from "@/features/docker/containers/use-confirmed-action";
import { useContainerActions } from "@/features/docker/containers/use-container-actions";
import { useServerContext } from "@/features/server/server-context";
import { escapeInvisible } from "@/lib/escape-invisible";
import { loadChunk } from "@/lib/lazy-chunk";

const LogView = lazy(async () => ({
  default: await loadChunk(async () => (await import("@/features/docker/logs/log-view")).LogView),
}));

type View = "facts" | "logs";

const POLL_INTERVAL = 5_000; // ms, while the page is visible

export function ContainerPage() {
  const { vps } = useServerContext();
  const { cid = "" } = useParams();
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const view: View = params.get("view") === "logs" ? "logs" : "facts";
  const act = useConfirmedAction(vps);
  const { pending, dismiss } = useContainerActions(vps.id);
  const { data, error, refetch } = useQuery({
    ...containerQuery(vps.id, cid),
    refetchInterval: POLL_INTERVAL,
  });
  // The list holds the last known state if the Docker engine does not answer.
  const { data: list } = useQuery({ ...containersQuery(vps.id), enabled: error !== null });
  const known: Container | undefined = data ?? list?.items.find((one) => one.id === cid);
  if (isNotFound(error) && !known) {
    return (
      <EmptyState icon="container" title={t("docker.goneTitle")} text={t("docker.goneText")}>
        <Link to={`/servers/${vps.id}/docker`}>{t("docker.backToAll")}</Link>
      </EmptyState>
    );
  }
  if (!known) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const mine = pending.get(known.id);
  const canAct = vps.powers?.docker === "actions" && !error;
  const carryOut = async (container: Container, what: ContainerAction) => {
    const began = await act(container, what);
    if (began && what === "remove") void navigate(`/servers/${vps.id}/docker`);
  };
  return (
    <div className={styles.page} data-testid="container">
      <header className={styles.head}>
        <Link to={`/servers/${vps.id}/docker`} aria-label={t("docker.backToAll")}>
          <Icon name="left" size={16} />
        </Link>
        <h2>{escapeInvisible(nameOf(known))}</h2>
        <StateMark state={known.state} pending={mine} />
        <small>{escapeInvisible(known.status)}</small>
        <span className={styles.tools}>
          <ShellButton container={known} vps={vps} />
          {canAct && (
            <ContainerActions
              container={known}
              busy={mine !== undefined && mine.error === null}
              onAct={(container, what) => void carryOut(container, what)}
            />
          )}
        </span>
      </header>
      <ActionFailure pending={mine} onDismiss={() => dismiss(known.id)} />
      {error && <FailureNote error={error} onRetry={() => void refetch()} />}
      <Segmented<View>
        className={styles.views ?? ""}
        aria-label={t("docker.containerViews")}
        value={view}
        onChange={(chosen) => setParams(chosen === "logs" ? { view: "logs" } : {})}
        options={[
          { value: "facts", label: t("docker.factsAndCharts") },
          { value: "logs", label: t("docker.logs") },
        ]}
      />
      {view === "logs" ? (
        <Suspense fallback={<div className={styles.placeholder} />}>
          <LogView server={vps.id} cid={known.id} name={nameOf(known)} key={known.id} />
        </Suspense>
      ) : (
        <>
          <ContainerCharts server={vps.id} container={known} />
          {data && <ContainerFacts details={data} />}
        </>
      )}
    </div>
  );
}

function ShellButton({ container, vps }: { container: Container; vps: Vps }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { act } = useRights(vps);
  const { powers } = vps;
  const reason =
    powers?.shell && powers.docker === "actions"
      ? container.state === "running"
        ? null
        : t("docker.shellStopped")
      : t("docker.shellOff");
  if (!act) return null;
  const button = (
    <Button
      size="small"
      disabled={reason !== null}
      icon={<Icon name="terminal" size={14} />}
      onClick={() => void navigate(`/servers/${vps.id}/terminal?container=${container.id}`)}
    >
      {t("docker.shell")}
    </Button>
  );
  return reason ? <Tooltip title={reason}>{button}</Tooltip> : button;
}
