import { beforeEach, expect, test, vi } from "vitest";
import type { SampleDetail } from "@/api/vps";
import { sampleOf } from "@/live/sample.fixture";
import { LiveStore } from "@/live/store";

let frames: (() => void)[];
let store: LiveStore;

function nextFrame(): void {
  for (const flush of frames.splice(0)) flush();
}

beforeEach(() => {
  frames = [];
  store = new LiveStore((flush) => frames.push(flush));
});

test("a sample is announced to the views of its own server only", () => {
  const mine = vi.fn();
  const other = vi.fn();
  store.subscribe("a", mine);
  store.subscribe("b", other);

  store.add(sampleOf("a", 0));
  nextFrame();

  expect(mine).toHaveBeenCalledOnce();
  expect(other).not.toHaveBeenCalled();
});

test("many samples in one frame are announced once", () => {
  const listener = vi.fn();
  store.subscribe("a", listener);

  for (let second = 0; second < 20; second += 1) store.add(sampleOf("a", second));
  expect(frames).toHaveLength(1);
  nextFrame();

  expect(listener).toHaveBeenCalledOnce();
  expect(store.get("a")?.sample.time).toBe("2026-01-01T00:00:19.000Z");
});

test("an older or repeated sample changes nothing", () => {
  store.add(sampleOf("a", 5, { cpu_usage: 50 }));
  const before = store.get("a");

  store.add(sampleOf("a", 5, { cpu_usage: 60 }));
  store.add(sampleOf("a", 4, { cpu_usage: 40 }));

  expect(store.get("a")).toBe(before);
});

test("a view that unsubscribed is not notified", () => {
  const listener = vi.fn();
  const unsubscribe = store.subscribe("a", listener);
  unsubscribe();

  store.add(sampleOf("a", 0));
  nextFrame();

  expect(listener).not.toHaveBeenCalled();
});

test("the network rate is the sum over the named servers", () => {
  const listener = vi.fn();
  store.subscribeNetworkRate(listener);
  store.add(sampleOf("a", 0, { net_rx: 100, net_tx: 10 }));
  store.add(sampleOf("b", 0, { net_rx: 200, net_tx: null }));
  store.add(sampleOf("gone", 0, { net_rx: 999, net_tx: 999 }));

  store.sumNetworkRate(["a", "b", "unknown"]);
  store.sumNetworkRate(["a", "b"]);

  expect(store.networkRate()).toEqual({ rx: 300, tx: 10 });
  expect(listener).toHaveBeenCalledOnce();
});

test("an open window collects every sample and the newest details", () => {
  store.openWindow("a");
  const detail = { cpu_cores: [1, 2] } as SampleDetail;

  store.add(sampleOf("a", 0));
  store.add(sampleOf("a", 0, { detail }));
  store.add(sampleOf("a", 1));
  store.add(sampleOf("b", 1));

  expect(store.window("a").samples).toEqual([sampleOf("a", 0, { detail }), sampleOf("a", 1)]);
  expect(store.window("a").detail).toBe(detail);
  expect(store.window("b").samples).toEqual([]);
});

test("a window has a bound, and is empty once it is opened again or closed", () => {
  store.openWindow("a");
  for (let second = 0; second < 700; second += 1) store.add(sampleOf("a", second));
  expect(store.window("a").samples).toHaveLength(600);
  expect(store.window("a").samples.at(-1)).toEqual(sampleOf("a", 699));

  store.openWindow("a");
  expect(store.window("a").samples).toEqual([]);
  store.add(sampleOf("a", 700));
  store.closeWindow("a");
  expect(store.window("a").samples).toEqual([]);
});
