import { Button, Dropdown, Popconfirm } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import styles from "@/features/terminal/live/session-bar.module.css";
import {
  changeFontSize,
  MAX_FONT_SIZE,
  MIN_FONT_SIZE,
  useTerminalPreferences,
} from "@/features/terminal/terminal-preferences";

interface Props {
  terminal: LiveTerminal;
  open: boolean;
  drives: boolean;
}

export function SessionTools({ terminal, open, drives }: Props) {
  const { t } = useTranslation();
  const { fontSize, copyOnSelect, screenReader } = useTerminalPreferences();
  const tick = (on: boolean) => (on ? <Icon name="check" size={14} /> : <span />);
  const menu = {
    items: [
      {
        key: "smaller",
        label: t("terminal.smaller"),
        disabled: fontSize <= MIN_FONT_SIZE,
        onClick: () => changeFontSize(-1),
      },
      {
        key: "larger",
        label: t("terminal.larger"),
        disabled: fontSize >= MAX_FONT_SIZE,
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
