import { Modal } from "antd";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import type { LiveTerminal } from "@/features/terminal/live/live-terminal";
import { MAX_PASTE_LENGTH } from "@/features/terminal/live/paste-guard";
import styles from "@/features/terminal/terminal.module.css";
import { useFormat } from "@/lib/use-format";

const SHOWN = 20_000; // characters

export function PasteDialog({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const format = useFormat();
  const paste = useStore(terminal.store, (state) => state.paste);
  // The dialog still shows the text while it fades out.
  const last = useRef(paste);
  if (paste) last.current = paste;
  if (!last.current) return null;
  const { text, lines, removed, tooLong } = last.current;
  const close = () => terminal.store.setState({ paste: null });
  return (
    <Modal
      open={paste !== null}
      title={
        tooLong
          ? t("terminal.paste.tooLong")
          : t("terminal.paste.title", { count: lines, n: format.count(lines) })
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
          ? t("terminal.paste.useFile", { most: format.count(MAX_PASTE_LENGTH) })
          : t("terminal.paste.text")}
      </p>
      {removed > 0 && (
        <p className={styles.warning} role="alert">
          {t("terminal.paste.removed", { count: removed, n: format.count(removed) })}
        </p>
      )}
      {!tooLong && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
        <pre className={styles.pasted} tabIndex={0} data-testid="pasted">
          {text.slice(0, SHOWN)}
          {text.length > SHOWN && "…"}
        </pre>
      )}
    </Modal>
  );
}
