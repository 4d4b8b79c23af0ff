import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/app/palette.module.css";
import { type PaletteCommand, usePaletteCommands } from "@/app/palette-commands";
import { Icon } from "@/components/ui/icons";
import { StatusDot } from "@/components/ui/status-dot";

const MAX_SHOWN = 50; // entries

export function Palette({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const listId = useId();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const term = text.trim().toLowerCase();
  const found = usePaletteCommands()
    .filter(({ label }) => label.toLowerCase().includes(term))
    .slice(0, MAX_SHOWN);
  const active = found[Math.min(chosen, found.length - 1)];

  useEffect(() => dialog.current?.showModal(), []);

  const run = (command: PaletteCommand | undefined) => {
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
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by default; the click is for the mouse
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
