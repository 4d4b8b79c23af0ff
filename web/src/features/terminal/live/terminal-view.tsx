import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import { KeyRow } from "@/features/terminal/live/key-row";
import { LiveTerminal } from "@/features/terminal/live/live-terminal";
import { PasteDialog } from "@/features/terminal/live/paste-dialog";
import { SearchBar } from "@/features/terminal/live/search-bar";
import { SessionBar } from "@/features/terminal/live/session-bar";
import { SessionNote } from "@/features/terminal/live/session-note";
import type { TerminalViewProps } from "@/features/terminal/live/terminal-view-props";
import styles from "@/features/terminal/terminal.module.css";
import { useTerminalPreferences } from "@/features/terminal/terminal-preferences";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useDark } from "@/lib/theme";

export function TerminalView(props: TerminalViewProps) {
  const { vpsId, tab, onSession, onOver } = props;
  const { t } = useTranslation();
  const host = useRef<HTMLDivElement>(null);
  const bar = useRef<HTMLDivElement>(null);
  const [terminal, setTerminal] = useState<LiveTerminal | null>(null);
  const dark = useDark();
  const { fontSize, screenReader } = useTerminalPreferences();
  const label = t("terminal.label");
  const given = useRef({ tab, look: { dark, fontSize, screenReader, label } });
  const handlers = useRef({ onSession, onOver });
  handlers.current = { onSession, onOver };

  useEffect(() => {
    if (!host.current) return undefined;
    const made = new LiveTerminal(host.current, {
      vpsId,
      tab: given.current.tab,
      look: given.current.look,
      copyOnSelect: () => useTerminalPreferences.getState().copyOnSelect,
      onSession: (session) => handlers.current.onSession(session),
      onOver: () => handlers.current.onOver(),
      onLeave: () => bar.current?.querySelector("button")?.focus(),
    });
    made.screen.terminal.focus();
    setTerminal(made);
    return () => made.dispose();
  }, [vpsId]);

  useEffect(() => {
    // The CSS variables of the theme change in another effect, which runs after this one.
    const frame = requestAnimationFrame(() =>
      terminal?.setLook({ dark, fontSize, screenReader, label }),
    );
    return () => cancelAnimationFrame(frame);
  }, [terminal, dark, fontSize, screenReader, label]);

  return (
    <div className={styles.view}>
      <div ref={bar}>{terminal && <SessionBar terminal={terminal} {...props} />}</div>
      {terminal && <Search terminal={terminal} />}
      <div className={styles.stage}>
        <div ref={host} className={styles.host} data-testid="terminal" />
        {terminal && <Address terminal={terminal} />}
      </div>
      {terminal && <SessionNote terminal={terminal} {...props} />}
      {terminal && <KeyRow terminal={terminal} />}
      {terminal && <PasteDialog terminal={terminal} />}
    </div>
  );
}

function Search({ terminal }: { terminal: LiveTerminal }) {
  const searching = useStore(terminal.store, (state) => state.searching);
  return searching ? <SearchBar terminal={terminal} /> : null;
}

// The text of a link may name another address than its target, so the target is shown.
function Address({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const address = useStore(terminal.store, (state) => state.address);
  if (address === null) return null;
  return (
    <p className={styles.address}>
      <span>{escapeInvisible(address)}</span> {t("terminal.followHint")}
    </p>
  );
}
