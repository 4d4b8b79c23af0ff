import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { MemoryRouter, useLocation } from "react-router";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ShellSession } from "@/api/shell";
import { NEW_TERMINAL, useTabs } from "@/features/terminal/use-tabs";

const session = (id: string, username = "ann", ended_at: string | null = null) =>
  ({ id, username, ended_at, container: null }) as ShellSession;

function start(path: string, sessions: readonly ShellSession[]) {
  const wrapper = ({ children }: { children: ReactNode }) => (
    <MemoryRouter initialEntries={[path]}>{children}</MemoryRouter>
  );
  return renderHook(() => ({ ...useTabs("fra", sessions, "ann"), search: useLocation().search }), {
    wrapper,
  }).result;
}

beforeEach(() => sessionStorage.clear());
afterEach(cleanup);

test("the address names a new terminal once it has a session", () => {
  const hook = start("/", []);
  act(() => hook.current.open(NEW_TERMINAL));
  expect(hook.current.search).toBe("");
  act(() => hook.current.name(hook.current.active, "s1"));

  expect(hook.current.search).toBe("?session=s1");
});

test("a reload restores running sessions, with the same one in front", () => {
  const running = [session("s1"), session("s2")];
  const before = start("/", running);
  act(() => before.current.open({ ...NEW_TERMINAL, session: "s1" }));
  act(() => before.current.open({ ...NEW_TERMINAL, session: "s2" }));
  act(() => before.current.open({ ...NEW_TERMINAL, session: "gone" }));
  cleanup();
  const after = start("/?session=s2", running);

  expect(after.current.tabs.map((tab) => tab.session)).toEqual(["s1", "s2"]);
  expect(after.current.tabs.find(({ key }) => key === after.current.active)?.session).toBe("s2");
  // The other one connects when it is shown.
  expect(after.current.shown).toEqual([after.current.active]);
});

test.each([
  ["one's own is driven", "ann", false],
  ["somebody else's is watched", "bob", true],
])("a session in the address: %s", (_what, username, observe) => {
  const hook = start("/?session=s1", [session("s1", username)]);

  expect(hook.current.tabs).toEqual([{ key: 1, session: "s1", container: null, observe }]);
});

test("a container in the address is entered once, not after each reload", () => {
  const hook = start("/?container=0123456789ab", []);

  expect(hook.current.tabs[0]).toMatchObject({ session: null, container: "0123456789ab" });
  expect(hook.current.search).toBe("");
});

test("replacing a terminal opens a new connection", () => {
  const hook = start("/", []);
  act(() => hook.current.open(NEW_TERMINAL));
  act(() => hook.current.name(1, "s1"));
  act(() => hook.current.open(NEW_TERMINAL));
  act(() => hook.current.replace(1, { ...NEW_TERMINAL, session: "s1" }));

  expect(hook.current.tabs.map(({ key }) => key)).toEqual([3, 2]);
  expect(hook.current.active).toBe(3);
});

test("closing the one in front brings its neighbour forward", () => {
  const hook = start("/", []);
  for (const id of ["s1", "s2", "s3"])
    act(() => hook.current.open({ ...NEW_TERMINAL, session: id }));
  act(() => hook.current.activate(2));
  act(() => hook.current.close(2));
  expect(hook.current.active).toBe(3);
  act(() => hook.current.close(3));
  act(() => hook.current.close(1));

  expect(hook.current.active).toBe(0);
  expect(hook.current.search).toBe("");
});
