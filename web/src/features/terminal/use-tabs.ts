import { useCallback, useEffect, useState } from "react";
import { useSearchParams } from "react-router";
import type { ShellSession } from "@/api/shell";
import { loadTabs, MAX_TABS, saveTabs, type Tab } from "@/features/terminal/saved-tabs";

export type TerminalRequest = Omit<Tab, "key">;

export const NEW_TERMINAL: TerminalRequest = { session: null, container: null, observe: false };

interface Tabs {
  tabs: readonly Tab[];
  active: number; // key; 0 for none
  // Keys of the tabs that were shown. A terminal connects when it is first shown, because it does
  // not know its size before.
  shown: readonly number[];
  // The key of the next tab. Keys are never reused, so that each tab gets its own connection.
  next: number;
}

// Only the owner of a session may type in it; others watch.
export function attachRequest(
  { id, container, username }: ShellSession,
  me: string,
): TerminalRequest {
  return { session: id, container, observe: username !== me };
}

function show(before: Tabs, active: number): Tabs {
  const { shown } = before;
  return { ...before, active, shown: shown.includes(active) ? shown : [...shown, active] };
}

function added(before: Tabs, { session, container, observe }: TerminalRequest, at: number): Tabs {
  const tab = { key: before.next, session, container, observe };
  const after = { ...before, tabs: before.tabs.toSpliced(at, 0, tab), next: before.next + 1 };
  return show(after, tab.key);
}

// The saved tabs whose sessions still run, and the session that the address names.
function firstTabs(
  vpsId: string,
  params: URLSearchParams,
  sessions: readonly ShellSession[],
  me: string,
): Tabs {
  const running = new Set(sessions.filter((one) => one.ended_at === null).map(({ id }) => id));
  const tabs = loadTabs(vpsId).filter(({ session }) => session !== null && running.has(session));
  const next = Math.max(0, ...tabs.map(({ key }) => key)) + 1;
  const before = { tabs, active: 0, shown: [], next };
  const session = params.get("session");
  const container = params.get("container");
  const known = tabs.find((tab) => tab.session === session);
  if (container === null && (session === null || known)) {
    return show(before, (known ?? tabs[0])?.key ?? 0);
  }
  const found = sessions.find(({ id }) => id === session);
  const request = found ? attachRequest(found, me) : { ...NEW_TERMINAL, session, container };
  return added(before, request, tabs.length);
}

function opened(before: Tabs, request: TerminalRequest): Tabs {
  const { tabs } = before;
  const same = tabs.find(({ session }) => request.session !== null && session === request.session);
  if (same) return show(before, same.key);
  return tabs.length < MAX_TABS ? added(before, request, tabs.length) : before;
}

function closed(before: Tabs, key: number): Tabs {
  const at = before.tabs.findIndex((tab) => tab.key === key);
  const tabs = before.tabs.filter((tab) => tab.key !== key);
  const shown = before.shown.filter((one) => one !== key);
  const beside = tabs[Math.min(at, tabs.length - 1)]?.key ?? 0;
  return show({ ...before, tabs, shown }, before.active === key ? beside : before.active);
}

// Replace a tab by one with a new connection.
function replaced(before: Tabs, key: number, request: TerminalRequest): Tabs {
  const at = before.tabs.findIndex((tab) => tab.key === key);
  return added(closed(before, key), request, at);
}

// The open terminals of this page. The address names the one in front.
export function useTabs(vpsId: string, sessions: readonly ShellSession[], me: string) {
  const [params, setParams] = useSearchParams();
  const [state, set] = useState(() => firstTabs(vpsId, params, sessions, me));
  const { tabs, active } = state;
  const session = tabs.find(({ key }) => key === active)?.session ?? null;

  useEffect(() => saveTabs(vpsId, tabs), [vpsId, tabs]);

  useEffect(() => {
    setParams(
      (before) => {
        const after = new URLSearchParams(before);
        after.delete("container");
        after.delete("session");
        if (session !== null) after.set("session", session);
        return after;
      },
      { replace: true },
    );
  }, [session, setParams]);

  const open = useCallback(
    (request: TerminalRequest) => set((before) => opened(before, request)),
    [],
  );
  const close = useCallback((key: number) => set((before) => closed(before, key)), []);
  const replace = useCallback(
    (key: number, request: TerminalRequest) => set((before) => replaced(before, key, request)),
    [],
  );
  const activate = useCallback((key: number) => set((before) => show(before, key)), []);
  const name = useCallback((key: number, id: string) => {
    const named = (tab: Tab) => (tab.key === key ? { ...tab, session: id } : tab);
    set((before) => ({ ...before, tabs: before.tabs.map(named) }));
  }, []);
  return { ...state, open, close, replace, activate, name };
}
