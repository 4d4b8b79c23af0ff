import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "@/api/problem";
import type { ShellSession } from "@/api/shell";
import { STEP } from "@/features/terminal/live/credit-meter";
import { FakeWebSocket } from "@/features/terminal/live/fake-socket.fixture";
import type { ShellRequest } from "@/features/terminal/live/shell-address";
import {
  type ConnectionOptions,
  type ConnectionState,
  ShellConnection,
} from "@/features/terminal/live/shell-connection";
import { UnreachableError } from "@/lib/described-error";

const READY = {
  type: "ready",
  session: "s1",
  role: "driver",
  recorded: true,
  columns: 80,
  rows: 24,
  resumed: false,
  username: "ann",
};

let asked: ShellRequest[];
let states: ConnectionState[];
let processed: (() => void)[];
let found: ShellSession | null;
let outage: Error | null;
let link: ShellConnection;

function start(more: Partial<ConnectionOptions> = {}): void {
  link = new ShellConnection({
    session: null,
    container: null,
    observe: false,
    size: () => ({ columns: 80, rows: 24 }),
    address: async (request) => {
      asked.push(request);
      if (outage) throw outage;
      return "ws://flotilla/";
    },
    find: async () => {
      if (outage) throw outage;
      return found;
    },
    onState: (state) => states.push(state),
    onReady: () => undefined,
    onOutput: (_bytes, handled) => processed.push(handled),
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
  processed = [];
  found = null;
  outage = null;
});

afterEach(() => {
  link.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a lost connection is restored to the same session", async () => {
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

test("while the gateway is unreachable, attempts continue with growing delays", async () => {
  start({ session: "s1" });
  (await opened()).say(READY);
  outage = new UnreachableError("away");
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000 + 2_000 + 4_000);
  expect(asked).toHaveLength(4);
  outage = null;
  await vi.advanceTimersByTimeAsync(8_000);
  (await opened()).say(READY);

  expect(phases().at(-1)).toBe("open");
});

test("a session that ended during the outage is reported with its exit code", async () => {
  start({ session: "s1" });
  found = { ended_at: "2026-01-01T00:00:00Z", exit_code: 3, end_reason: "exit" } as ShellSession;
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(0);

  expect(states.at(-1)).toEqual({ phase: "ended", code: 3, reason: "exit" });
});

test("a session that does not exist is refused without further attempts", async () => {
  start({ session: "gone" });
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(phases()).toEqual(["connecting", "refused"]);
  expect(asked).toHaveLength(1);
});

test("a running session that refuses the connection is given up", async () => {
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

test("a session that could not be opened is not opened again automatically", async () => {
  start();
  const socket = await opened();
  socket.say({ type: "error", reason: "at most 5 sessions" });
  socket.close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toEqual({ phase: "refused", error: "at most 5 sessions" });
  expect(asked).toHaveLength(1);
});

test.each([403, 404])("a ticket refused with %i ends the attempts", async (status) => {
  outage = refusal(status);
  start();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toEqual({ phase: "refused", error: outage });
  expect(asked).toHaveLength(1);
});

test.each([429, 500, 503])("a ticket refused with %i is requested again", async (status) => {
  outage = refusal(status);
  start();
  await vi.advanceTimersByTimeAsync(1_000);

  expect(asked).toHaveLength(2);
});

test("the end of a session ends the attempts", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.say({ type: "exit", code: 0, reason: "exit" });
  socket.close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(states.at(-1)).toMatchObject({ phase: "ended", code: 0 });
  expect(asked).toHaveLength(1);
});

test("credit is given for processed output, not for received output", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.output(STEP);
  socket.output(10);
  expect(socket.sent).toEqual([]);
  for (const handled of processed) handled();

  expect(socket.sent).toEqual([{ type: "credit", offset: STEP }]);
});

test("credit of a lost connection is not given to the next one", async () => {
  start();
  (await opened()).say(READY);
  (await opened()).output(STEP);
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000);
  const second = await opened();
  second.say({ ...READY, resumed: true });
  for (const handled of processed) handled();
  expect(second.sent).toEqual([]);
  processed = [];
  second.output(STEP + 5);
  for (const handled of processed) handled();

  expect(second.sent).toEqual([{ type: "credit", offset: STEP + 5 }]);
});

test("a screen that starts over continues to count", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  socket.output(STEP);
  socket.say({ ...READY, resumed: true, role: "observer" });
  socket.output(STEP);
  for (const handled of processed) handled();

  expect(socket.sent).toEqual([
    { type: "credit", offset: STEP },
    { type: "credit", offset: 2 * STEP },
  ]);
});

test("a silent session sends heartbeats", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  await vi.advanceTimersByTimeAsync(45_000);

  expect(socket.sent).toEqual([
    { type: "credit", offset: 0 },
    { type: "credit", offset: 0 },
  ]);
});

test("input without a connection is dropped", async () => {
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

test("a long paste is sent in several frames", async () => {
  start();
  const socket = await opened();
  socket.say(READY);
  link.type(new Uint8Array(40_000));

  expect(socket.sent.map((piece) => (piece as Uint8Array).length)).toEqual([16_384, 16_384, 7_232]);
});
