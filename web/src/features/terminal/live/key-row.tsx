import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import type { ScreenKey } from "@/features/terminal/live/keys";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import styles from "@/features/terminal/terminal.module.css";

const ARROWS = [
  { key: "left", face: "←" },
  { key: "down", face: "↓" },
  { key: "up", face: "↑" },
  { key: "right", face: "→" },
] as const;

// Keys that a phone's keyboard lacks. Pressing one keeps the focus, so that the keyboard stays
// open.
export function KeyRow({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const control = useStore(terminal.store, (state) => state.control);
  const open = useStore(terminal.store, ({ link }) => link.phase === "open");
  const watches = useStore(terminal.store, ({ ready }) => ready?.role === "observer");
  if (watches) return null;
  const button = (key: ScreenKey, face: string, label?: string) => (
    <button
      key={key}
      type="button"
      disabled={!open}
      aria-label={label}
      onClick={() => terminal.screen.press(key)}
    >
      {face}
    </button>
  );
  return (
    <div
      className={styles.keys}
      role="toolbar"
      aria-label={t("terminal.keys")}
      onPointerDown={(event) => event.preventDefault()}
    >
      {button("escape", "Esc")}
      {button("tab", "Tab")}
      <button
        type="button"
        disabled={!open}
        aria-pressed={control}
        onClick={() => terminal.store.setState({ control: !control })}
      >
        Ctrl
      </button>
      {ARROWS.map(({ key, face }) => button(key, face, t(`terminal.key.${key}`)))}
    </div>
  );
}
