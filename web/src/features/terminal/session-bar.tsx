import { Button, Dropdown, Popconfirm } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import { Icon } from "@/components/ui/icons";
import type { LiveTerminal } from "@/features/terminal/live-terminal";
import styles from "@/features/terminal/session-bar.module.css";
import type { Viewer } from "@/features/terminal/shell-frames";
import {
  changeFontSize,
  LARGEST_FONT,
  SMALLEST_FONT,
  useTerminalPreferences,
} from "@/features/terminal/terminal-preferences";

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
      <Others viewers={viewers} />
      <Copied terminal={terminal} />
      <Tools terminal={terminal} open={phase === "open"} drives={ready?.role === "driver"} />
    </div>
  );
}

function Others({ viewers }: { viewers: readonly Viewer[] }) {
  const { t } = useTranslation();
  // One of them is this screen.
  if (viewers.length < 2) return null;
  const names = viewers
    .map(({ username, role }) => t(`terminal.viewer.${role}`, { name: username }))
    .join(t("powers.and"));
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

interface ToolsProps {
  terminal: LiveTerminal;
  open: boolean;
  drives: boolean;
}

function Tools({ terminal, open, drives }: ToolsProps) {
  const { t } = useTranslation();
  const { fontSize, copyOnSelect, screenReader } = useTerminalPreferences();
  const tick = (on: boolean) => (on ? <Icon name="check" size={14} /> : <span />);
  const menu = {
    items: [
      {
        key: "smaller",
        label: t("terminal.smaller"),
        disabled: fontSize <= SMALLEST_FONT,
        onClick: () => changeFontSize(-1),
      },
      {
        key: "larger",
        label: t("terminal.larger"),
        disabled: fontSize >= LARGEST_FONT,
        onClick: () => changeFontSize(1),
      },
      { type: "divider" as const },
      {
        key: "copy",
        label: t("terminal.copyOnSelect"),
        icon: tick(copyOnSelect),
        onClick: () => useTerminalPreferences.setState({ copyOnSelect: !copyOnSelect }),
      },
      {
        key: "reader",
        label: t("terminal.screenReader"),
        icon: tick(screenReader),
        onClick: () => useTerminalPreferences.setState({ screenReader: !screenReader }),
      },
      { type: "divider" as const },
      { key: "keys", type: "group" as const, label: t("terminal.shortcuts") },
    ],
  };
  return (
    <div className={styles.tools}>
      <Button
        size="small"
        type="text"
        title={`${t("terminal.search")} (Ctrl+Shift+F)`}
        aria-label={t("terminal.search")}
        icon={<Icon name="search" size={15} />}
        onClick={() => terminal.store.setState({ searching: true })}
      />
      <Dropdown menu={menu} trigger={["click"]}>
        <Button
          size="small"
          type="text"
          aria-label={t("terminal.options")}
          title={t("terminal.options")}
          icon={<Icon name="settings" size={15} />}
        />
      </Dropdown>
      {drives && open && (
        <Popconfirm
          title={t("terminal.endAsk")}
          description={t("terminal.endText")}
          okText={t("terminal.end")}
          cancelText={t("action.cancel")}
          okButtonProps={{ danger: true }}
          onConfirm={() => terminal.end()}
        >
          <Button size="small" className={styles.end ?? ""} aria-label={t("terminal.end")}>
            <Icon name="stop" size={13} />
            <span>{t("terminal.end")}</span>
          </Button>
        </Popconfirm>
      )}
    </div>
  );
}
