import { useTranslation } from "react-i18next";
import type { ShellSession } from "@/api/shell";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/terminal/pane.module.css";
import type { Tab } from "@/features/terminal/saved-tabs";

interface Props {
  tabs: readonly Tab[];
  active: number;
  sessions: readonly ShellSession[];
  onActivate: (key: number) => void;
  onClose: (key: number) => void;
}

export function TabList({ tabs, active, sessions, onActivate, onClose }: Props) {
  const { t } = useTranslation();
  const titleOf = (tab: Tab) => {
    const { session, container, observe } = tab;
    const username = sessions.find(({ id }) => id === session)?.username;
    const what = container?.slice(0, 12) ?? t("terminal.name", { n: tabs.indexOf(tab) + 1 });
    return observe && username ? `${what} · ${username}` : what;
  };
  return (
    <ul aria-label={t("terminal.open")}>
      {tabs.map((tab) => (
        <li key={tab.key} className={tab.key === active ? styles.active : undefined}>
          <button
            type="button"
            aria-current={tab.key === active}
            onClick={() => onActivate(tab.key)}
          >
            <Icon name={tab.observe ? "eye" : "terminal"} size={14} />
            {titleOf(tab)}
          </button>
          <button
            type="button"
            aria-label={t("terminal.leave", { name: titleOf(tab) })}
            title={t("terminal.leaveHint")}
            onClick={() => onClose(tab.key)}
          >
            <Icon name="close" size={12} />
          </button>
        </li>
      ))}
    </ul>
  );
}
