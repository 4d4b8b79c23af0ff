import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import { Icon } from "@/components/ui/icons";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import styles from "@/features/terminal/live/session-bar.module.css";
import { SessionTools } from "@/features/terminal/live/session-tools";
import type { Viewer } from "@/features/terminal/live/shell-frames";

const COPIED_SHOWN = 1_500; // ms

export function SessionBar({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const phase = useStore(terminal.store, (state) => state.link.phase);
  const ready = useStore(terminal.store, (state) => state.ready);
  const viewers = useStore(terminal.store, (state) => state.viewers);
  return (
    <div className={styles.bar}>
      <span className={`${styles.phase} ${styles[phase]}`} role="status" data-testid="phase">
        <i aria-hidden="true" />
        {t(`terminal.phase.${phase}`)}
      </span>
      {ready?.recorded && (
        <span className={styles.badge} title={t("terminal.recordedHint")}>
          <i aria-hidden="true" />
          {t("terminal.recorded")}
        </span>
      )}
      {ready?.role === "observer" && (
        <span className={styles.badge} title={t("terminal.watchingHint")}>
          <Icon name="eye" size={13} />
          {t("terminal.watching", { name: ready.username })}
        </span>
      )}
      <OtherViewers viewers={viewers} />
      <Copied terminal={terminal} />
      <SessionTools terminal={terminal} open={phase === "open"} drives={ready?.role === "driver"} />
    </div>
  );
}

function OtherViewers({ viewers }: { viewers: readonly Viewer[] }) {
  const { t } = useTranslation();
  // One of the viewers is this screen.
  if (viewers.length < 2) return null;
  const names = viewers
    .map(({ username, role }) => t(`terminal.viewer.${role}`, { name: username }))
    .join(t("separator"));
  return (
    <span className={styles.others} title={names} data-testid="viewers">
      {t("terminal.viewers", { count: viewers.length })}
      <span className={styles.names}>{names}</span>
    </span>
  );
}

function Copied({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const copiedAt = useStore(terminal.store, (state) => state.copiedAt);
  const [seen, setSeen] = useState(copiedAt);
  useEffect(() => {
    const timer = setTimeout(() => setSeen(copiedAt), COPIED_SHOWN);
    return () => clearTimeout(timer);
  }, [copiedAt]);
  return (
    <span className={styles.copied} role="status">
      {seen !== copiedAt && t("action.copied")}
    </span>
  );
}
