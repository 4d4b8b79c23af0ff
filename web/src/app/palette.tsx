import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useMatch, useNavigate } from "react-router";
import type { Vps } from "@/api/vps";
import { fleetQuery } from "@/api/vps";
import styles from "@/app/palette.module.css";
import { Icon, type IconName } from "@/components/ui/icons";
import { StatusDot } from "@/components/ui/status-dot";
import { useLogOut } from "@/components/ui/use-log-out";
import { type Language, type Theme, usePreferences } from "@/lib/preferences";
import { openRunDrawer } from "@/lib/run-drawer";
import { useSelection } from "@/lib/selection";

interface Command {
  key: string;
  label: string;
  icon: IconName;
  vps?: Vps;
  run: () => void;
}

const MOST = 50; // entries shown
const THEMES: readonly Theme[] = ["light", "dark", "system"];
const LANGUAGES: readonly { language: Language; name: string }[] = [
  { language: "en", name: "English" },
  { language: "zh-CN", name: "简体中文" },
];

function useCommands(): Command[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const leave = useLogOut();
  const { data: fleet = [] } = useQuery(fleetQuery());
  const here = useMatch("/servers/:id/*")?.params.id;
  // On a server's page that one is meant, elsewhere those picked out of the fleet.
  const picked = here && here !== "new" ? [here] : [...useSelection.getState().ids];
  const go = (path: string) => () => void navigate(path);
  return [
    { key: "fleet", label: t("palette.fleet"), icon: "fleet", run: go("/") },
    { key: "add", label: t("action.addServer"), icon: "plus", run: go("/servers/new") },
    {
      key: "run",
      label: t("palette.run"),
      icon: "terminal",
      run: () => openRunDrawer(picked),
    },
    ...fleet.map((vps) => ({
      key: vps.id,
      label: vps.name,
      icon: "server" as const,
      vps,
      run: go(`/servers/${vps.id}`),
    })),
    ...fleet
      .filter(({ powers }) => powers?.shell)
      .map(({ id, name }) => ({
        key: `terminal-${id}`,
        label: t("palette.terminal", { name }),
        icon: "terminal" as const,
        run: go(`/servers/${id}/terminal`),
      })),
    { key: "settings", label: t("palette.settings"), icon: "settings", run: go("/settings") },
    ...THEMES.map((theme) => ({
      key: theme,
      label: t("palette.theme", { theme: t(`theme.${theme}`) }),
      icon: "theme" as const,
      run: () => usePreferences.setState({ theme }),
    })),
    ...LANGUAGES.map(({ language, name }) => ({
      key: language,
      label: t("palette.language", { name }),
      icon: "language" as const,
      run: () => usePreferences.setState({ language }),
    })),
    { key: "out", label: t("action.logOut"), icon: "logOut", run: leave },
  ];
}

export function Palette({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const listId = useId();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const wanted = text.trim().toLowerCase();
  const found = useCommands()
    .filter(({ label }) => label.toLowerCase().includes(wanted))
    .slice(0, MOST);
  const active = found[Math.min(chosen, found.length - 1)];

  useEffect(() => dialog.current?.showModal(), []);

  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    command.run();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = (Math.min(chosen, found.length - 1) + step + found.length) % found.length;
      setChosen(next);
      list.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(active);
    }
  };

  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog without help; the click is the mouse's way
    <dialog
      ref={dialog}
      className={styles.palette}
      aria-label={t("palette.title")}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <label className={styles.search}>
        <Icon name="search" size={16} />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls={listId}
          aria-activedescendant={active ? `${listId}-${active.key}` : undefined}
          aria-label={t("palette.placeholder")}
          placeholder={t("palette.placeholder")}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setChosen(0);
          }}
          onKeyDown={onKeyDown}
        />
      </label>
      <div
        className={styles.list}
        ref={list}
        id={listId}
        role="listbox"
        aria-label={t("palette.title")}
      >
        {found.map((command, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keyboard stays in the input above
          <div
            tabIndex={-1}
            key={command.key}
            id={`${listId}-${command.key}`}
            role="option"
            aria-selected={command === active}
            onClick={() => run(command)}
            onMouseMove={() => setChosen(index)}
          >
            {command.vps ? (
              <StatusDot status={command.vps.status} />
            ) : (
              <Icon name={command.icon} size={16} />
            )}
            {command.label}
            {command.vps?.ip_address && <small>{command.vps.ip_address}</small>}
          </div>
        ))}
      </div>
      {found.length === 0 && <p className={styles.nothing}>{t("palette.nothing")}</p>}
    </dialog>
  );
}
