import { afterEach, expect, test, vi } from "vitest";
import type { RunLine } from "@/api/runs";
import { followInStore, forgetFollowedRun, useFollowedRun } from "@/features/runs/run-store";

const time = "2026-01-01T00:00:00.000Z";

function printed(offset: number, data: string): RunLine {
  return { event: "output", offset, server_id: "v1", time, stream: "stdout", data };
}

function ended(offset: number): RunLine {
  return { event: "run", offset, status: "finished" };
}

// The gateway answers each connection with some lines and then ends it, or with a problem. Returns
// the offsets that are asked for.
function connections(...each: (RunLine[] | Response)[]): number[] {
  const asked: number[] = [];
  vi.stubGlobal("fetch", async ({ url }: Request) => {
    asked.push(Number(new URL(url).searchParams.get("offset")));
    const next = each.shift() ?? [];
    if (next instanceof Response) return next;
    return new Response(next.map((line) => `${JSON.stringify(line)}\n`).join(""));
  });
  return asked;
}

function problem(status: number, type: string): Response {
  return Response.json({ type, status }, { status });
}

function text(): string {
  const target = useFollowedRun.getState().targets.get("v1");
  return target?.output.map((chunk) => chunk.text).join("") ?? "";
}

afterEach(() => {
  forgetFollowedRun();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a connection that breaks off is continued after the last line", async () => {
  vi.useFakeTimers();
  const asked = connections(
    [printed(0, "a"), printed(1, "b")],
    problem(503, "/problems/dependency-unavailable"),
    [printed(2, "c"), ended(3)],
  );
  followInStore("r1");
  await vi.advanceTimersByTimeAsync(100);
  expect(useFollowedRun.getState().reconnecting).toBe(true);
  await vi.runAllTimersAsync();

  expect(asked).toEqual([0, 2, 2]);
  expect(text()).toBe("abc");
  expect(useFollowedRun.getState()).toMatchObject({ ended: "finished", reconnecting: false });
});

test("a run that was followed before goes on where it was left", async () => {
  vi.useFakeTimers();
  const asked = connections([printed(0, "a")], [printed(1, "b"), ended(2)]);
  const stop = followInStore("r1");
  await vi.advanceTimersByTimeAsync(100);
  stop();
  followInStore("r1");
  await vi.runAllTimersAsync();

  expect(asked).toEqual([0, 1]);
  expect(text()).toBe("ab");
  // There is nothing more to ask for.
  followInStore("r1");
  await vi.runAllTimersAsync();
  expect(asked).toHaveLength(2);
});

test("another run begins at its first line", async () => {
  vi.useFakeTimers();
  const asked = connections([printed(0, "a"), ended(1)], [printed(0, "x"), ended(1)]);
  followInStore("r1");
  await vi.runAllTimersAsync();
  followInStore("r2");
  await vi.runAllTimersAsync();

  expect(asked).toEqual([0, 0]);
  expect(text()).toBe("x");
});

test("a run that may not be seen is not asked for again", async () => {
  vi.useFakeTimers();
  const asked = connections(problem(404, "/problems/not-found"));
  followInStore("r1");
  await vi.runAllTimersAsync();

  expect(asked).toEqual([0]);
  expect(useFollowedRun.getState().error).toMatchObject({ type: "/problems/not-found" });
});
