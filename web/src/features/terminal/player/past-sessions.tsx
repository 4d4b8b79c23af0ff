import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { App, Button, Popconfirm } from "antd";
import { lazy, Suspense, useState } from "react";
import { useTranslation } from "react-i18next";

import { pastSessionsQuery, type ShellSession, useEndSession } from "@/api/shell";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import { useServerContext } from "@/features/server/server-context";
import styles from "@/features/terminal/player/past-sessions.module.css";
import { downloadRecording } from "@/features/terminal/player/recording";
import { describeFailure } from "@/lib/described-error";
import { formatCountdown } from "@/lib/format/durations";
import { loadChunk } from "@/lib/lazy-chunk";
import { useFormat } from "@/lib/use-format";

const Player = lazy(async () => ({
  default: await loadChunk(async () => (await import("@/features/terminal/player/player")).Player),
}));

export function PastSessions() {
  const { vps } = useServerContext();
  const { t } = useTranslation();
  const [playing, setPlaying] = useState<ShellSession | null>(null);
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    pastSessionsQuery(vps.id),
  );
  if (!data) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const sessions = data.pages.flatMap(({ items }) => items);
  if (sessions.length === 0) {
    return (
      <EmptyState
        icon="terminal"
        title={t("recording.emptyTitle")}
        text={t("recording.emptyText")}
      />
    );
  }
  return (
    <div className={styles.box}>
      <table className={styles.table} data-testid="sessions">
        <thead>
          <tr>
            <th scope="col">{t("recording.started")}</th>
            <th scope="col">{t("recording.who")}</th>
            <th scope="col">{t("recording.where")}</th>
            <th scope="col">{t("recording.duration")}</th>
            <th scope="col">{t("recording.size")}</th>
            <th scope="col">{t("recording.end")}</th>
            <th scope="col">
              <span className="sr-only">{t("recording.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {sessions.map((session) => (
            <Row key={session.id} vps={vps} session={session} onPlay={() => setPlaying(session)} />
          ))}
        </tbody>
      </table>
      {hasNextPage && (
        <Button
          type="text"
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
          className={styles.more ?? ""}
        >
          {t("recording.older")}
        </Button>
      )}
      {playing && (
        <Suspense fallback={null}>
          <Player session={playing} onClose={() => setPlaying(null)} />
        </Suspense>
      )}
    </div>
  );
}

interface RowProps {
  vps: Vps;
  session: ShellSession;
  onPlay: () => void;
}

function Row({ vps, session, onPlay }: RowProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const { message } = App.useApp();
  const onError = (error: unknown) => void message.error(describeFailure(error, t).what);
  const end = useEndSession(vps.id);
  const download = useMutation({ mutationFn: downloadRecording, onError });
  const { ended_at, exit_code, end_reason, container } = session;
  const started = format.dateTime(session.started_at);
  return (
    <tr>
      <td>{started}</td>
      <td>{session.username}</td>
      <td>{container?.slice(0, 12) ?? t("terminal.title")}</td>
      <td>{formatCountdown(session.duration_seconds)}</td>
      <td>{format.size(session.bytes)}</td>
      <td>
        {ended_at === null ? (
          <b className={styles.runs}>{t("recording.running")}</b>
        ) : (
          [exit_code === null ? null : t("recording.exit", { code: exit_code }), end_reason]
            .filter(Boolean)
            .join(" · ")
        )}
      </td>
      <td className={styles.actions}>
        {ended_at === null && (
          <Popconfirm
            title={t("terminal.endAsk")}
            description={t("terminal.endText")}
            okText={t("terminal.end")}
            cancelText={t("action.cancel")}
            okButtonProps={{ danger: true }}
            onConfirm={() => end.mutate(session.id, { onError })}
          >
            <Button size="small">{t("terminal.end")}</Button>
          </Popconfirm>
        )}
        {session.recorded && ended_at !== null && (
          <>
            <Button
              size="small"
              icon={<Icon name="play" size={13} />}
              aria-label={t("recording.playOf", { time: started })}
              onClick={onPlay}
            >
              {t("recording.play")}
            </Button>
            <Button
              size="small"
              icon={<Icon name="download" size={13} />}
              aria-label={t("recording.downloadOf", { time: started })}
              title={t("recording.download")}
              loading={download.isPending}
              onClick={() => download.mutate(session)}
            />
          </>
        )}
      </td>
    </tr>
  );
}
