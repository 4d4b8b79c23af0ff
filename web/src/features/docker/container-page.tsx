import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Tooltip } from "antd";
import { lazy, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useOutletContext, useParams, useSearchParams } from "react-router";
import { type Act, type Container, containerQuery, containersQuery } from "@/api/docker";
import { isNotFound } from "@/api/problem";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import { ActFailure } from "@/features/docker/act-failure";
import { ContainerActions } from "@/features/docker/container-actions";
import { ContainerCharts } from "@/features/docker/container-charts";
import { ContainerFacts } from "@/features/docker/container-facts";
import { nameOf } from "@/features/docker/container-groups";
import styles from "@/features/docker/container-page.module.css";
import { StateMark } from "@/features/docker/state-mark";
import { useActs } from "@/features/docker/use-acts";
import { useConfirmedAct } from "@/features/docker/use-confirmed-act";
import type { ServerContext } from "@/features/server/server-page";
import { loadPart } from "@/lib/part";
import { visible } from "@/lib/visible";

const LogView = lazy(async () => ({
  default: await loadPart(async () => (await import("@/features/docker/log-view")).LogView),
}));

type View = "facts" | "logs";

const POLL = 5_000; // ms, while the page can be seen

export function ContainerPage() {
  const { vps } = useOutletContext<ServerContext>();
  const { cid = "" } = useParams();
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const view: View = params.get("view") === "logs" ? "logs" : "facts";
  const act = useConfirmedAct(vps);
  const { doing, dismiss } = useActs(vps.id);
  const { data, error, refetch } = useQuery({
    ...containerQuery(vps.id, cid),
    refetchInterval: POLL,
  });
  // What the list said, for when the engine cannot be asked.
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
  const mine = doing.get(known.id);
  const may = vps.powers?.docker === "actions" && !error;
  const carryOut = async (container: Container, what: Act) => {
    const began = await act(container, what);
    if (began && what === "remove") void navigate(`/servers/${vps.id}/docker`);
  };
  return (
    <div className={styles.page} data-testid="container">
      <header className={styles.head}>
        <Link to={`/servers/${vps.id}/docker`} aria-label={t("docker.backToAll")}>
          <Icon name="left" size={16} />
        </Link>
        <h2>{visible(nameOf(known))}</h2>
        <StateMark state={known.state} doing={mine} />
        <small>{visible(known.status)}</small>
        <span className={styles.tools}>
          <ShellButton container={known} vps={vps} />
          {may && (
            <ContainerActions
              container={known}
              busy={mine !== undefined && mine.error === null}
              onAct={(container, what) => void carryOut(container, what)}
            />
          )}
        </span>
      </header>
      <ActFailure doing={mine} onDismiss={() => dismiss(known.id)} />
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

function ShellButton({ container, vps }: { container: Container; vps: ServerContext["vps"] }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { powers } = vps;
  const reason =
    powers?.shell && powers.docker === "actions"
      ? container.state === "running"
        ? null
        : t("docker.shellStopped")
      : t("docker.shellOff");
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
