import { beforeEach, expect, test, vi } from "vitest";
import { LiveStore } from "@/lib/live-store";
import { sampleOf } from "@/lib/sample.fixture";

let frames: (() => void)[];
let store: LiveStore;

function nextFrame(): void {
  for (const flush of frames.splice(0)) flush();
}

beforeEach(() => {
  frames = [];
  store = new LiveStore((flush) => frames.push(flush));
});

test("a sample is announced to the views of its own server alone", () => {
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

test("the trail keeps the last sixty samples in order", () => {
  for (let second = 0; second < 100; second += 1) {
    store.add(sampleOf("a", second, { cpu_usage: second }));
  }

  const trail = store.get("a")?.trail ?? [];
  expect(trail).toHaveLength(60);
  expect([trail[0], trail.at(-1)]).toEqual([40, 99]);
});

test("a sample that is older or known already changes nothing", () => {
  store.add(sampleOf("a", 5, { cpu_usage: 50 }));
  const before = store.get("a");

  store.add(sampleOf("a", 5, { cpu_usage: 60 }));
  store.add(sampleOf("a", 4, { cpu_usage: 40 }));

  expect(store.get("a")).toBe(before);
});

test("a view that went away is not called any more", () => {
  const listener = vi.fn();
  const unsubscribe = store.subscribe("a", listener);
  unsubscribe();

  store.add(sampleOf("a", 0));
  nextFrame();

  expect(listener).not.toHaveBeenCalled();
});

test("the traffic of now is the sum over the named servers", () => {
  const listener = vi.fn();
  store.subscribeTraffic(listener);
  store.add(sampleOf("a", 0, { net_rx: 100, net_tx: 10 }));
  store.add(sampleOf("b", 0, { net_rx: 200, net_tx: null }));
  store.add(sampleOf("gone", 0, { net_rx: 999, net_tx: 999 }));

  store.sumTraffic(["a", "b", "unknown"]);
  store.sumTraffic(["a", "b"]);

  expect(store.traffic()).toEqual({ rx: 300, tx: 10 });
  expect(listener).toHaveBeenCalledOnce();
});

test("a trail that has begun is led by what was measured earlier, once", () => {
  store.add(sampleOf("a", 3, { cpu_usage: 3 }));
  const times = [1, 2, 3].map((second) => sampleOf("a", second).time);

  store.seed("a", times, [1, 2, 99]);
  store.seed("a", times, [1, 2, 99]);
  store.add(sampleOf("a", 4, { cpu_usage: 4 }));

  expect(store.get("a")?.trail).toEqual([1, 2, 3, 4]);
});

test("a server nobody has heard of yet is not seeded", () => {
  store.seed("a", [sampleOf("a", 0).time], [1]);
  expect(store.get("a")).toBeUndefined();
});
