import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError, UnreachableError } from "@/api/problem";
import type { ShellRequest, ShellSession } from "@/api/shell";
import { STEP } from "@/features/terminal/credit-meter";
import { FakeWebSocket } from "@/features/terminal/fake-socket.fixture";
import { type LinkOptions, type LinkState, ShellLink } from "@/features/terminal/shell-link";

const READY = {
  ...{ type: "ready", session: "s1", role: "driver", recorded: true },
  ...{ columns: 80, rows: 24, resumed: false, username: "ann" },
};

let asked: ShellRequest[];
let states: LinkState[];
let taken: (() => void)[];
let found: ShellSession | null;
let away: Error | null;
let link: ShellLink;

function start(more: Partial<LinkOptions> = {}): void {
  link = new ShellLink({
    session: null,
    container: null,
    observe: false,
    size: () => ({ columns: 80, rows: 24 }),
    address: async (request) => {
      asked.push(request);
      if (away) throw away;
      return "ws://flotilla/";
    },
    find: async () => {
      if (away) throw away;
      return found;
    },
    onState: (state) => states.push(state),
    onReady: () => undefined,
    onOutput: (_bytes, handled) => taken.push(handled),
    onFrame: () => undefined,
    random: () => 1,
    ...more,
  });
}

async function opened(): Promise<FakeWebSocket> {
  await vi.advanceTimersByTimeAsync(0);
  const newest = FakeWebSocket.opened.at(-1);
  if (!newest) throw new Error("no socket was opened");
  return newest;
}

const refusal = (status: number) => new ApiError({ detail: "no" }, new Response("", { status }));
const phases = () => states.map(({ phase }) => phase);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeWebSocket);
  FakeWebSocket.opened = [];
  asked = [];
  states = [];
  taken = [];
  found = null;
  away = null;
});

afterEach(() => {
  link.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a lost connection is made again to the same session", async () => {
  start();
  const first = await opened();
  first.say(READY);
  first.close();
  expect(phases()).toEqual(["connecting", "open", "lost"]);
  await vi.advanceTimersByTimeAsync(1_000);
  (await opened()).say({ ...READY, resumed: true });

  expect(asked.map(({ session }) => session)).toEqual([null, "s1"]);
  expect(phases().slice(3)).toEqual(["connecting", "open"]);
});

test("while the gateway is away the attempts go on, ever slower", async () => {
  start({ session: "s1" });
  (await opened()).say(READY);
  away = new UnreachableError("away");
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000 + 2_000 + 4_000);
  expect(asked).toHaveLength(4);
  away = null;
  await vi.advanceTimersByTimeAsync(8_000);
  (await opened()).say(READY);

  expect(phases().at(-1)).toBe("open");
});

test("a session that ended meanwhile is told with its exit code", async () => {
  start({ session: "s1" });
  found = { ended_at: "2026-01-01T00:00:00Z", exit_code: 3, end_reason: "exit" } as ShellSession;
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(0);

  expect(states.at(-1)).toEqual({ phase: "ended", code: 3, reason: "exit" });
});

test("a session that is not there is refused, and not asked for again", async () => {
  start({ session: "gone" });
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(phases()).toEqual(["connecting", "refused"]);
  expect(asked).toHaveLength(1);
});

test("a session that runs and cannot be attached to is given up", async () => {
  found = { ended_at: null } as ShellSession;
  start({ session: "theirs" });
  for (const wait of [0, 1_000, 2_000, 120_000]) {
    await vi.advanceTimersByTimeAsync(wait);
    FakeWebSocket.opened.at(-1)?.onclose?.();
  }
  await vi.advanceTimersByTimeAsync(120_000);

  expect(phases().at(-1)).toBe("refused");
  expect(asked).toHaveLength(3);
});

test("a session that could not be opened is not opened a second time by itself", async () => {
  start();
  const socket = await opened();
  socket.say({ type: "error", reason: "at most 5 sessions" });
  socket.close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toEqual({ phase: "refused", error: "at most 5 sessions" });
  expect(asked).toHaveLength(1);
});

test.each([403, 404])("a ticket refused with %i ends the attempts", async (status) => {
  away = refusal(status);
  start();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toEqual({ phase: "refused", error: away });
  expect(asked).toHaveLength(1);
});

test.each([429, 500, 503])("a ticket refused with %i is asked for again", async (status) => {
  away = refusal(status);
  start();
  await vi.advanceTimersByTimeAsync(1_000);

  expect(asked).toHaveLength(2);
});

test("the end of a session is the end of the attempts", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.say({ type: "exit", code: 0, reason: "exit" });
  socket.close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toMatchObject({ phase: "ended", code: 0 });
  expect(asked).toHaveLength(1);
});

test("credit is given for what the screen has taken in, not for what arrived", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.output(STEP);
  socket.output(10);
  expect(socket.sent).toEqual([]);
  for (const handled of taken) handled();

  expect(socket.sent).toEqual([{ type: "credit", offset: STEP }]);
});

test("credit of a connection that was lost is not given to the next one", async () => {
  start();
  (await opened()).say(READY);
  (await opened()).output(STEP);
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000);
  const second = await opened();
  second.say({ ...READY, resumed: true });
  for (const handled of taken) handled();
  expect(second.sent).toEqual([]);
  taken = [];
  second.output(STEP + 5);
  for (const handled of taken) handled();

  expect(second.sent).toEqual([{ type: "credit", offset: STEP + 5 }]);
});

test("a screen that is to start over goes on counting", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.output(STEP);
  socket.say({ ...READY, resumed: true, role: "observer" });
  socket.output(STEP);
  for (const handled of taken) handled();

  expect(socket.sent).toEqual([
    { type: "credit", offset: STEP },
    { type: "credit", offset: 2 * STEP },
  ]);
});

test("a silent session shows signs of life", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  await vi.advanceTimersByTimeAsync(45_000);

  expect(socket.sent).toEqual([
    { type: "credit", offset: 0 },
    { type: "credit", offset: 0 },
  ]);
});

test("what is typed without a connection is not typed later", async () => {
  start();
  link.type(new Uint8Array([1]));
  const first = await opened();
  link.type(new Uint8Array([2]));
  first.say(READY);
  link.type(new Uint8Array([3]));
  first.close();
  link.type(new Uint8Array([4]));
  await vi.advanceTimersByTimeAsync(1_000);
  (await opened()).say(READY);

  expect(first.sent).toEqual([new Uint8Array([3])]);
  expect((await opened()).sent).toEqual([]);
});

test("a long paste is typed in pieces", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  link.type(new Uint8Array(40_000));

  expect(socket.sent.map((piece) => (piece as Uint8Array).length)).toEqual([16_384, 16_384, 7_232]);
});
