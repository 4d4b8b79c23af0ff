import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { type ShellSession, shellKeys } from "@/api/shell";
import { type Vps, vpsKeys } from "@/api/vps";
import { unavailableReason } from "@/features/server/unavailable-reason";
import { NewMenu, type NewMenuProps } from "@/features/terminal/new-menu";
import { Pane } from "@/features/terminal/pane";
import styles from "@/features/terminal/pane.module.css";
import { TabList } from "@/features/terminal/tab-list";
import { TerminalStart } from "@/features/terminal/terminal-start";
import { NEW_TERMINAL, useTabs } from "@/features/terminal/use-tabs";
import { loadChunk } from "@/lib/lazy-chunk";

// The terminal is the largest chunk of the console, and not every visit opens one.
const TerminalView = lazy(async () => ({
  default: await loadChunk(
    async () => (await import("@/features/terminal/live/terminal-view")).TerminalView,
  ),
}));

interface Props {
  vps: Vps;
  sessions: readonly ShellSession[];
  me: string;
}

export function Terminals({ vps, sessions, me }: Props) {
  const { tabs, active, shown, ...terminals } = useTabs(vps.id, sessions, me);
  const { open, close, replace, activate, name } = terminals;
  const client = useQueryClient();
  const refresh = () => {
    void client.invalidateQueries({ queryKey: shellKeys.of(vps.id) });
    void client.invalidateQueries({ queryKey: vpsKeys.detail(vps.id) });
  };
  const unavailable = unavailableReason(vps, "shell");
  const running = sessions.filter(
    ({ id, ended_at }) => ended_at === null && !tabs.some(({ session }) => session === id),
  );
  const opening: NewMenuProps = { running, me, blocked: unavailable !== null, onOpen: open };

  if (tabs.length === 0) return <TerminalStart vps={vps} unavailable={unavailable} {...opening} />;
  const list = (
    <>
      <TabList
        tabs={tabs}
        active={active}
        sessions={sessions}
        onActivate={activate}
        onClose={close}
      />
      <NewMenu {...opening} />
    </>
  );
  return (
    <Pane tabs={list}>
      {tabs
        .filter(({ key }) => shown.includes(key))
        .map((tab) => (
          <div key={tab.key} className={styles.panel} hidden={tab.key !== active}>
            <Suspense fallback={null}>
              <TerminalView
                vpsId={vps.id}
                tab={tab}
                unavailable={unavailable}
                onSession={(session) => name(tab.key, session)}
                onAnother={() => replace(tab.key, { ...NEW_TERMINAL, container: tab.container })}
                onTakeOver={() => replace(tab.key, { ...tab, observe: false })}
                onOver={refresh}
                onClose={() => close(tab.key)}
              />
            </Suspense>
          </div>
        ))}
    </Pane>
  );
}
