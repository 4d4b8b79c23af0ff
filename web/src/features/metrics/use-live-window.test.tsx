import { act, renderHook, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useLiveWindow } from "@/features/metrics/use-live-window";
import { sampleOf } from "@/live/sample.fixture";
import { liveStore } from "@/live/store";
import { json, stubApi } from "@/testing/api-stub";
import { TestProviders } from "@/testing/providers";

const START = Date.UTC(2026, 0, 1) / 1000; // the second 0 of a sample

class FakeWebSocket {
  static readonly OPEN = 1;
  static newest: FakeWebSocket | undefined;
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor() {
    FakeWebSocket.newest = this;
  }

  open(): void {
    this.readyState = FakeWebSocket.OPEN;
    this.onopen?.();
  }

  sample(second: number, cpu_usage: number, more: object = {}): void {
    const event = { event: "sample", ...sampleOf("v1", second, { cpu_usage }), ...more };
    this.onmessage?.({ data: JSON.stringify(event) });
  }

  close(): void {
    this.readyState = 3;
  }
}

beforeEach(() => {
  vi.stubGlobal("WebSocket", FakeWebSocket);
  vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw));
  vi.useFakeTimers({ now: START * 1000, toFake: ["Date"] });
  FakeWebSocket.newest = undefined;
});

afterEach(() => {
  liveStore.clear();
  vi.useRealTimers();
});

async function opened() {
  const requests = stubApi({
    "POST /ws-tickets": { ticket: "t1" },
    "GET /vps/v1/metrics/historical": () =>
      json({
        granularity: "1s",
        time: [-2, -1].map((second) => sampleOf("v1", second).time),
        cpu_usage: [10, 20],
      }),
  });
  const { result, unmount } = renderHook(() => useLiveWindow("v1", 1, null), {
    wrapper: TestProviders,
  });
  await waitFor(() => expect(FakeWebSocket.newest).toBeDefined());
  act(() => FakeWebSocket.newest?.open());
  await waitFor(() => expect(result.current.loading).toBe(false));
  return { window: result, requests, unmount };
}

const cpu = (window: { current: ReturnType<typeof useLiveWindow> }) =>
  window.current.dataOf(["cpu_usage"]).columns;

test("live samples follow the history without a gap", async () => {
  const { window } = await opened();
  expect(cpu(window)).toEqual([
    [START - 2, START - 1],
    [10, 20],
  ]);

  act(() => FakeWebSocket.newest?.sample(0, 30));
  await waitFor(() =>
    expect(cpu(window)).toEqual([
      [START - 2, START - 1, START],
      [10, 20, 30],
    ]),
  );
  expect(window.current.to).toBe(START);
});

test("details stay shown while samples without them arrive", async () => {
  const { window } = await opened();
  act(() => FakeWebSocket.newest?.sample(0, 30, { detail: { cpu_cores: [1] } }));
  await waitFor(() => expect(window.current.detail).toEqual({ cpu_cores: [1] }));

  act(() => FakeWebSocket.newest?.sample(1, 40));
  await waitFor(() => expect(window.current.to).toBe(START + 1));
  expect(window.current.detail).toEqual({ cpu_cores: [1] });
});

test("samples that are older than the window are not drawn", async () => {
  const { window } = await opened();
  act(() => FakeWebSocket.newest?.sample(0, 30));
  act(() => FakeWebSocket.newest?.sample(299, 40));
  await waitFor(() => expect(window.current.to).toBe(START + 299));
  expect(cpu(window)[0][0]).toBe(START - 1);
});

test("a closed page stops collecting samples", async () => {
  const { unmount } = await opened();
  const socket = FakeWebSocket.newest;
  unmount();
  expect(socket?.readyState).toBe(3);
  liveStore.add(sampleOf("v1", 5));
  expect(liveStore.window("v1").samples).toEqual([]);
});
