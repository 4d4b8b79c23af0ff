import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveSocket, type LiveState, retryDelay } from "@/live/socket";

class FakeWebSocket {
  static readonly OPEN = 1;
  static opened: FakeWebSocket[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
    FakeWebSocket.opened.push(this);
  }

  accept(): void {
    this.readyState = FakeWebSocket.OPEN;
    this.onopen?.();
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

let tickets: number;
let refuse: boolean;
let states: LiveState[];
let messages: string[];
let socket: LiveSocket;

function start(): void {
  socket = new LiveSocket({
    requestTicket: async () => {
      tickets += 1;
      if (refuse) throw new Error("refused");
      return `t${tickets}`;
    },
    address: (ticket) => `ws://flotilla/?ticket=${ticket}`,
    onMessage: (data) => messages.push(data),
    onState: (state) => states.push(state),
    random: () => 1,
  });
}

async function opened(): Promise<FakeWebSocket> {
  await vi.advanceTimersByTimeAsync(0);
  const newest = FakeWebSocket.opened.at(-1);
  if (!newest) throw new Error("no socket was opened");
  return newest;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeWebSocket);
  FakeWebSocket.opened = [];
  tickets = 0;
  refuse = false;
  states = [];
  messages = [];
});

afterEach(() => {
  socket.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("each attempt requests its own ticket", async () => {
  start();
  (await opened()).accept();
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000);

  expect(FakeWebSocket.opened.map(({ url }) => url)).toEqual([
    "ws://flotilla/?ticket=t1",
    "ws://flotilla/?ticket=t2",
  ]);
});

test("a lost connection is reported, retried, and reported again when restored", async () => {
  start();
  (await opened()).accept();
  (await opened()).close();
  await vi.advanceTimersByTimeAsync(1_000);
  (await opened()).accept();

  expect(states).toEqual(["connecting", "open", "lost", "open"]);
});

test("a refused ticket counts as a failed attempt, and the delay grows", async () => {
  refuse = true;
  start();
  await vi.advanceTimersByTimeAsync(1_000 + 2_000 + 4_000);

  expect(tickets).toBe(4);
  expect(FakeWebSocket.opened).toEqual([]);
});

test("the delay is jittered, doubles, and is at most half a minute", () => {
  expect([1, 2, 3, 10].map((failures) => retryDelay(failures, () => 1))).toEqual([
    1_000, 2_000, 4_000, 30_000,
  ]);
  expect(retryDelay(3, () => 0)).toBe(2_000);
});

test("the delay restarts after a success", async () => {
  refuse = true;
  start();
  await vi.advanceTimersByTimeAsync(1_000 + 2_000);
  refuse = false;
  await vi.advanceTimersByTimeAsync(4_000);
  (await opened()).accept();
  (await opened()).close();
  const before = tickets;
  await vi.advanceTimersByTimeAsync(1_000);

  expect(tickets).toBe(before + 1);
});

test("a minute of silence counts as a dead connection", async () => {
  start();
  const first = await opened();
  first.accept();
  await vi.advanceTimersByTimeAsync(50_000);
  first.onmessage?.({ data: "alive" });
  await vi.advanceTimersByTimeAsync(50_000);
  expect(FakeWebSocket.opened).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_000);

  expect(FakeWebSocket.opened).toHaveLength(2);
  expect(messages).toEqual(["alive"]);
});

test("the return of the network ends the delay", async () => {
  refuse = true;
  start();
  await vi.advanceTimersByTimeAsync(0);
  refuse = false;
  window.dispatchEvent(new Event("online"));

  (await opened()).accept();
  expect(states.at(-1)).toBe("open");
});

test("there is no attempt after closing", async () => {
  start();
  (await opened()).accept();
  socket.close();
  await vi.advanceTimersByTimeAsync(120_000);

  expect(tickets).toBe(1);
  expect(states).toEqual(["connecting", "open"]);
});
