import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { App, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useOutletContext } from "react-router";
import { type Command, commandQuery, commandsQuery, useCancelCommand } from "@/api/commands";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/commands/commands.module.css";
import { CopyButton } from "@/features/commands/copy-button";
import { ExitMark } from "@/features/commands/exit-mark";
import { OutputText } from "@/features/commands/output-text";
import { plainOutput } from "@/features/commands/plain-output";
import type { Piece } from "@/features/commands/run-progress";
import type { ServerContext } from "@/features/server/server-page";
import { describeFailure } from "@/lib/failure";
import { formatAbsolute } from "@/lib/format";
import { openRunDrawer } from "@/lib/run-drawer";

// What was run on a server by hand, newest first.
export function CommandHistory() {
  const { vps } = useOutletContext<ServerContext>();
  const { t } = useTranslation();
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    commandsQuery(vps.id),
  );
  const runButton = (
    <Button type="primary" onClick={() => openRunDrawer([vps.id])}>
      {t("run.title")}
    </Button>
  );
  if (!data) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const commands = data.pages.flatMap(({ items }) => items);
  if (commands.length === 0) {
    return (
      <EmptyState icon="logs" title={t("run.pastEmptyTitle")} text={t("run.pastEmptyText")}>
        {runButton}
      </EmptyState>
    );
  }
  return (
    <div className={styles.history}>
      <ul data-testid="commands">
        {commands.map((command) => (
          <li key={command.id}>
            <Past command={command} />
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

function Past({ command }: { command: Command }) {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const cancel = useCancelCommand(command.vps_id);
  const [open, setOpen] = useState(false);
  const [first = "", ...rest] = command.script.trim().split("\n");
  const onError = (error: unknown) => void message.error(describeFailure(error, t).what);
  return (
    <article className={styles.target}>
      <header>
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          <ExitMark status={command.status} exitCode={command.exit_code} />
          <code>{rest.length > 0 ? `${first} …` : first}</code>
        </button>
        <span>{command.username}</span>
        <time dateTime={command.started_at}>
          {formatAbsolute(command.started_at, i18n.language)}
        </time>
        {command.truncated && <span className={styles.truncated}>{t("run.truncated")}</span>}
        {command.status === "running" && (
          <Button size="small" onClick={() => cancel.mutate(command.id, { onError })}>
            {t("action.cancel")}
          </Button>
        )}
      </header>
      {open && <Details command={command} whole={rest.length > 0} />}
    </article>
  );
}

function Details({ command, whole }: { command: Command; whole: boolean }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(commandQuery(command));
  const pieces: Piece[] = [
    { stream: "stdout" as const, text: data?.stdout ?? "" },
    { stream: "stderr" as const, text: data?.stderr ?? "" },
  ].filter(({ text }) => text !== "");
  return (
    <>
      {whole && <pre className={styles.ran}>{command.script}</pre>}
      {command.reason !== "" && <p className={styles.reason}>{command.reason}</p>}
      {error && !data && <FailureNote error={error} onRetry={() => void refetch()} />}
      {data && <OutputText pieces={pieces} empty={command.status !== "running"} />}
      {pieces.length > 0 && (
        <CopyButton
          label={t("action.copy")}
          text={() => plainOutput(pieces.map(({ text }) => text).join(""))}
        />
      )}
    </>
  );
}
