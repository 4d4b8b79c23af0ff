import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ContainerLogLine } from "@/api/docker";
import type { FollowHandlers } from "@/features/docker/logs/follow-container-log";
import { LogFeed } from "@/features/docker/logs/log-feed";

let on: FollowHandlers;
let acknowledged: number[];
let closed: number;
let past: () => Promise<{ lines: ContainerLogLine[]; truncated: boolean }>;
let feed: LogFeed;

function line(second: number): ContainerLogLine {
  const time = new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
  return { time, stream: "stdout", text: `line ${second}` };
}

const texts = () => feed.view().log.lines.map(({ text }) => text);

beforeEach(async () => {
  vi.useFakeTimers();
  acknowledged = [];
  closed = 0;
  past = async () => ({ lines: [], truncated: false });
  feed = new LogFeed({
    past: () => past(),
    follow: (handlers) => {
      on = handlers;
      return {
        acknowledge: (count) => acknowledged.push(count),
        close: () => {
          closed += 1;
        },
      };
    },
  });
});

afterEach(() => {
  feed.stop();
  vi.useRealTimers();
});

async function open(): Promise<void> {
  await feed.start();
  on.onOpen();
}

test("lines are shown together, ten times a second, and then acknowledged", async () => {
  await open();
  on.onLines([line(1), line(2)]);
  on.onLines([line(3)]);
  expect(texts()).toEqual([]);

  vi.advanceTimersByTime(100);

  expect(texts()).toEqual(["line 1", "line 2", "line 3"]);
  expect(acknowledged).toEqual([3]);
});

test("a pause holds lines and acknowledgements back, and resuming releases them", async () => {
  await open();
  feed.pause();
  on.onLines([line(1), line(2)]);
  vi.advanceTimersByTime(1_000);
  expect([texts(), acknowledged, feed.view().held]).toEqual([[], [], 2]);

  feed.resume();

  expect([texts(), acknowledged, feed.view().held]).toEqual([["line 1", "line 2"], [2], 0]);
});

test("after a reconnection no line is repeated, and counting restarts", async () => {
  await open();
  on.onLines([line(1), line(2)]);
  vi.advanceTimersByTime(100);
  on.onLost();
  expect(feed.view().state).toBe("lost");

  on.onOpen();
  on.onLines([line(1), line(2)]);
  on.onLines([line(3)]);
  vi.advanceTimersByTime(100);

  expect(texts()).toEqual(["line 1", "line 2", "line 3"]);
  expect(feed.view().log.lines.map(({ gap }) => gap)).toEqual([false, false, false]);
  expect(acknowledged).toEqual([2, 3]);
});

test("a tail that does not overlap the known lines marks a gap", async () => {
  await open();
  on.onLines([line(1)]);
  vi.advanceTimersByTime(100);
  on.onLost();
  on.onOpen();
  on.onLines([line(9)]);
  vi.advanceTimersByTime(100);

  expect(feed.view().log.lines.map(({ gap }) => gap)).toEqual([false, true]);
});

test("a pause across a lost connection keeps the held lines", async () => {
  await open();
  feed.pause();
  on.onLines([line(1)]);
  on.onLost();
  on.onOpen();
  on.onLines([line(1), line(2)]);
  feed.resume();

  expect(texts()).toEqual(["line 1", "line 2"]);
});

test("history comes first, and its end is not repeated", async () => {
  past = async () => ({ lines: [line(1), line(2)], truncated: true });
  await open();
  on.onLines([line(2), line(3)]);
  vi.advanceTimersByTime(100);

  expect(texts()).toEqual(["line 1", "line 2", "line 3"]);
  // The history was longer than one answer.
  expect(feed.view().log.lines.map(({ gap }) => gap)).toEqual([true, false, false]);
});

test("the end of a container ends the feed after its last lines", async () => {
  await open();
  on.onLines([line(1)]);
  on.onEnd("exited");

  expect([texts(), feed.view().state, closed]).toEqual([["line 1"], "ended", 1]);
});

test("a refusal is reported", async () => {
  past = () => Promise.reject(new Error("no"));
  await feed.start();
  expect(feed.view()).toMatchObject({ state: "failed", error: new Error("no") });
});
