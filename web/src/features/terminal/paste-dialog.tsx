import { Modal } from "antd";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import type { LiveTerminal } from "@/features/terminal/live-terminal";
import { LONGEST_PASTE } from "@/features/terminal/paste-guard";
import styles from "@/features/terminal/terminal.module.css";

const SHOWN = 20_000; // characters

export function PasteDialog({ terminal }: { terminal: LiveTerminal }) {
  const { t, i18n } = useTranslation();
  const paste = useStore(terminal.store, (state) => state.paste);
  // It is still read while the dialog fades.
  const last = useRef(paste);
  if (paste) last.current = paste;
  if (!last.current) return null;
  const { text, lines, removed, tooLong } = last.current;
  const number = (count: number) => new Intl.NumberFormat(i18n.language).format(count);
  const close = () => terminal.store.setState({ paste: null });
  return (
    <Modal
      open={paste !== null}
      title={
        tooLong
          ? t("terminal.paste.tooLong")
          : t("terminal.paste.title", { count: lines, n: number(lines) })
      }
      okText={t("terminal.paste.confirm")}
      cancelText={t("action.cancel")}
      okButtonProps={{ disabled: tooLong || text === "", autoFocus: true }}
      onOk={() => {
        close();
        terminal.screen.paste(text);
      }}
      onCancel={close}
      afterClose={() => terminal.screen.terminal.focus()}
    >
      <p>
        {tooLong
          ? t("terminal.paste.useFile", { most: number(LONGEST_PASTE) })
          : t("terminal.paste.text")}
      </p>
      {removed > 0 && (
        <p className={styles.warning} role="alert">
          {t("terminal.paste.removed", { count: removed, n: number(removed) })}
        </p>
      )}
      {!tooLong && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <pre className={styles.pasted} tabIndex={0} data-testid="pasted">
          {text.slice(0, SHOWN)}
          {text.length > SHOWN && "…"}
        </pre>
      )}
    </Modal>
  );
}
