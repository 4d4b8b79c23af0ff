import { useCallback, useEffect, useState } from "react";
import { useSearchParams } from "react-router";
import type { ShellSession } from "@/api/shell";
import { keepTabs, MOST_TABS, recallTabs, type Tab } from "@/features/terminal/open-tabs";

export type Wanted = Omit<Tab, "key">;

export const NEW: Wanted = { session: null, container: null, observe: false };

interface Tabs {
  tabs: readonly Tab[];
  active: number; // key; 0 for none
  // A terminal connects when it is first shown: hidden, it would not know its size.
  shown: readonly number[];
  // The next tab's key. None is used twice, so that each tab is a connection of its own.
  next: number;
}

// Only whose session it is types there.
export function attachTo({ id, container, username }: ShellSession, me: string): Wanted {
  return { session: id, container, observe: username !== me };
}

function show(before: Tabs, active: number): Tabs {
  const { shown } = before;
  return { ...before, active, shown: shown.includes(active) ? shown : [...shown, active] };
}

function added(before: Tabs, { session, container, observe }: Wanted, at: number): Tabs {
  const tab = { key: before.next, session, container, observe };
  const after = { ...before, tabs: before.tabs.toSpliced(at, 0, tab), next: before.next + 1 };
  return show(after, tab.key);
}

// Those of before a reload that still run, and what the address asks for.
function firstTabs(
  vpsId: string,
  params: URLSearchParams,
  sessions: readonly ShellSession[],
  me: string,
): Tabs {
  const running = new Set(sessions.filter((one) => one.ended_at === null).map(({ id }) => id));
  const tabs = recallTabs(vpsId).filter(({ session }) => session !== null && running.has(session));
  const next = Math.max(0, ...tabs.map(({ key }) => key)) + 1;
  const before = { tabs, active: 0, shown: [], next };
  const session = params.get("session");
  const container = params.get("container");
  const known = tabs.find((tab) => tab.session === session);
  if (container === null && (session === null || known)) {
    return show(before, (known ?? tabs[0])?.key ?? 0);
  }
  const found = sessions.find(({ id }) => id === session);
  const wanted = found ? attachTo(found, me) : { ...NEW, session, container };
  return added(before, wanted, tabs.length);
}

function opened(before: Tabs, wanted: Wanted): Tabs {
  const { tabs } = before;
  const same = tabs.find(({ session }) => wanted.session !== null && session === wanted.session);
  if (same) return show(before, same.key);
  return tabs.length < MOST_TABS ? added(before, wanted, tabs.length) : before;
}

function closed(before: Tabs, key: number): Tabs {
  const at = before.tabs.findIndex((tab) => tab.key === key);
  const tabs = before.tabs.filter((tab) => tab.key !== key);
  const shown = before.shown.filter((one) => one !== key);
  const beside = tabs[Math.min(at, tabs.length - 1)]?.key ?? 0;
  return show({ ...before, tabs, shown }, before.active === key ? beside : before.active);
}

// Another connection in the place of one that is over, or that does something else.
function replaced(before: Tabs, key: number, wanted: Wanted): Tabs {
  const at = before.tabs.findIndex((tab) => tab.key === key);
  return added(closed(before, key), wanted, at);
}

// The terminals on this page; the one in front stands in the address.
export function useTabs(vpsId: string, sessions: readonly ShellSession[], me: string) {
  const [params, setParams] = useSearchParams();
  const [state, set] = useState(() => firstTabs(vpsId, params, sessions, me));
  const { tabs, active } = state;
  const session = tabs.find(({ key }) => key === active)?.session ?? null;

  useEffect(() => keepTabs(vpsId, tabs), [vpsId, tabs]);

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

  const open = useCallback((wanted: Wanted) => set((before) => opened(before, wanted)), []);
  const close = useCallback((key: number) => set((before) => closed(before, key)), []);
  const replace = useCallback(
    (key: number, wanted: Wanted) => set((before) => replaced(before, key, wanted)),
    [],
  );
  const activate = useCallback((key: number) => set((before) => show(before, key)), []);
  const name = useCallback((key: number, id: string) => {
    const named = (tab: Tab) => (tab.key === key ? { ...tab, session: id } : tab);
    set((before) => ({ ...before, tabs: before.tabs.map(named) }));
  }, []);
  return { ...state, open, close, replace, activate, name };
}
