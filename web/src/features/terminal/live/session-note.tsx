import { Button } from "antd";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import { ApiError } from "@/api/problem";
import { useSession } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";
import type { UnavailableReason } from "@/features/server/unavailable-reason";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import type { TerminalViewProps } from "@/features/terminal/live/terminal-view-props";
import styles from "@/features/terminal/terminal.module.css";
import { useNow } from "@/lib/clock";

interface Props extends TerminalViewProps {
  terminal: LiveTerminal;
}

// Tells below the screen what is wrong or how the session ended, and offers the next step.
export function SessionNote({ terminal, unavailable, onAnother, onTakeOver, onClose }: Props) {
  const { t } = useTranslation();
  const link = useStore(terminal.store, (state) => state.link);
  const ready = useStore(terminal.store, (state) => state.ready);
  const complaint = useStore(terminal.store, (state) => state.complaint);
  const me = useSession((session) => session.user?.username);

  if (link.phase === "lost") {
    return <Lost retryAt={link.retryAt} onRetry={() => terminal.retryNow()} />;
  }
  if (link.phase === "refused") {
    return (
      <div className={styles.refusal}>
        {link.error instanceof ApiError ? (
          <FailureNote error={link.error} />
        ) : (
          <p role="alert">{refusal(link.error, unavailable, t)}</p>
        )}
        <div className={styles.actions}>
          <Button onClick={onAnother}>{t("terminal.another")}</Button>
          <Button onClick={onClose}>{t("action.close")}</Button>
        </div>
      </div>
    );
  }
  if (link.phase === "ended") {
    const { code, reason } = link;
    return (
      <div className={styles.note} role="status" data-testid="ended">
        <span>
          {code === null ? t("terminal.ended") : t("terminal.endedWith", { code })}
          {reason !== "" && ` · ${reason}`}
        </span>
        <Button size="small" type="primary" onClick={onAnother}>
          {t("terminal.another")}
        </Button>
        <Button size="small" onClick={onClose}>
          {t("action.close")}
        </Button>
      </div>
    );
  }
  if (complaint !== null) {
    return (
      <div className={styles.note} role="alert">
        <span>{complaint}</span>
        <Button size="small" onClick={() => terminal.store.setState({ complaint: null })}>
          {t("action.close")}
        </Button>
      </div>
    );
  }
  if (unavailable === "offline") {
    return (
      <div className={styles.note} role="status">
        <span>{t("terminal.serverOffline")}</span>
      </div>
    );
  }
  if (ready?.role === "observer" && ready.username === me) {
    return (
      <div className={styles.note} role="status">
        <span>{t("terminal.readOnly")}</span>
        <Button size="small" onClick={onTakeOver}>
          {t("terminal.takeOver")}
        </Button>
      </div>
    );
  }
  return null;
}

// A browser does not learn why a WebSocket was refused. The state of the server usually explains
// it.
function refusal(error: unknown, unavailable: UnavailableReason | null, t: TFunction): string {
  if (typeof error === "string") return error;
  if (unavailable === null) return t("terminal.refused");
  return t(`terminal.unavailable.${unavailable}.title`);
}

function Lost({ retryAt, onRetry }: { retryAt: number; onRetry: () => void }) {
  const { t } = useTranslation();
  const now = useNow(1000);
  const seconds = Math.max(0, Math.ceil((retryAt - now) / 1000));
  return (
    <div className={`${styles.note} ${styles.warned}`} role="status">
      <span>{t("terminal.lost")}</span>
      <span aria-hidden="true">
        {seconds > 0 ? t("shell.retryIn", { seconds }) : t("shell.retrying")}
      </span>
      <Button size="small" onClick={onRetry}>
        {t("shell.retryNow")}
      </Button>
    </div>
  );
}
