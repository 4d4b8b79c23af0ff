import { useInfiniteQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";

import { type Run, serverRunsQuery } from "@/api/runs";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { ExitMark } from "@/features/runs/results/exit-mark";
import { useRunAddress } from "@/features/runs/run-address";
import { openRunDrawer } from "@/features/runs/run-drawer-state";
import styles from "@/features/runs/runs.module.css";
import { useServerContext } from "@/features/server/server-context";
import { useFormat } from "@/lib/use-format";

// Runs on a server, newest first. Each opens in the drawer, live while it has not ended.
export function RunHistory() {
  const { vps } = useServerContext();
  const { t } = useTranslation();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    serverRunsQuery(vps.id),
  );
  if (!data) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const runs = data.pages.flatMap(({ items }) => items);
  if (runs.length === 0) {
    return (
      <EmptyState icon="logs" title={t("run.pastEmptyTitle")} text={t("run.pastEmptyText")}>
        <Button type="primary" onClick={() => openRunDrawer([vps.id])}>
          {t("run.title")}
        </Button>
      </EmptyState>
    );
  }
  return (
    <div className={styles.history}>
      <ul data-testid="runs">
        {runs.map((run) => (
          <li key={run.id}>
            <PastRun run={run} vpsId={vps.id} />
          </li>
        ))}
      </ul>
      {hasNextPage && (
        <Button type="text" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {t("recording.older")}
        </Button>
      )}
    </div>
  );
}

function PastRun({ run, vpsId }: { run: Run; vpsId: string }) {
  const { t } = useTranslation();
  const format = useFormat();
  const [, open] = useRunAddress();
  const here = run.servers.find((server) => server.vps_id === vpsId);
  const [first = "", ...rest] = run.script.trim().split("\n");
  const time = format.dateTime(run.created_at);
  return (
    <article className={styles.target}>
      <header>
        <button type="button" title={t("run.openOf", { time })} onClick={() => open(run.id)}>
          <ExitMark
            status={here?.status ?? run.status}
            exitCode={here?.exit_code ?? null}
            cancelling={here?.cancelling ?? false}
          />
          <code>{rest.length > 0 ? `${first} …` : first}</code>
        </button>
        {run.servers.length > 1 && (
          <span>{t("run.others", { count: run.servers.length - 1 })}</span>
        )}
        {here?.truncated && <span className={styles.truncated}>{t("run.truncated")}</span>}
        <span>{run.username}</span>
        <time dateTime={run.created_at}>{time}</time>
      </header>
    </article>
  );
}
