import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useStore } from "zustand";
import { KeyRow } from "@/features/terminal/key-row";
import { LiveTerminal } from "@/features/terminal/live-terminal";
import type { Tab } from "@/features/terminal/open-tabs";
import { PasteDialog } from "@/features/terminal/paste-dialog";
import { SearchBar } from "@/features/terminal/search-bar";
import { SessionBar } from "@/features/terminal/session-bar";
import { SessionNote } from "@/features/terminal/session-note";
import styles from "@/features/terminal/terminal.module.css";
import { useTerminalPreferences } from "@/features/terminal/terminal-preferences";
import type { Hindrance } from "@/lib/hindrance";
import { useDark } from "@/lib/theme";
import { visible } from "@/lib/visible";

export interface TerminalViewProps {
  vpsId: string;
  tab: Tab;
  // What stands in the way of a new one.
  hindrance: Hindrance | null;
  onSession: (session: string) => void;
  onAnother: () => void;
  onTakeOver: () => void;
  onOver: () => void;
  onClose: () => void;
}

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
    // The page's tokens change with the theme in an effect of their own, after this one.
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

// Text may say one address and lead to another: the true one is shown before it is followed.
function Address({ terminal }: { terminal: LiveTerminal }) {
  const { t } = useTranslation();
  const address = useStore(terminal.store, (state) => state.address);
  if (address === null) return null;
  return (
    <p className={styles.address}>
      <span>{visible(address)}</span> {t("terminal.followHint")}
    </p>
  );
}
