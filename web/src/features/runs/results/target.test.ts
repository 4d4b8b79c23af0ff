import { expect, test } from "vitest";
import type { OutputLine, ServerLine } from "@/api/runs";
import {
  applyLine,
  MAX_SHOWN,
  newTarget,
  outcomeOf,
  type Target,
} from "@/features/runs/results/target";

function at(second: number): string {
  return new Date(second * 1000).toISOString();
}

function out(data: string, stream: OutputLine["stream"] = "stdout"): OutputLine {
  return { event: "output", offset: 0, server_id: "v1", time: at(0), stream, data };
}

function state(status: ServerLine["status"], fields: Partial<ServerLine> = {}): ServerLine {
  const line = { exit_code: null, truncated: false, reason: "", problem: null, time: at(0) };
  return { event: "server", offset: 0, server_id: "v1", status, ...line, ...fields };
}

function after(...lines: (OutputLine | ServerLine)[]): Target {
  return lines.reduce<Target>(applyLine, newTarget("v1"));
}

test("a finished script has its output, exit code and times", () => {
  const target = after(
    state("queued"),
    state("running", { time: at(1) }),
    out("a"),
    out("b\n"),
    out("oh", "stderr"),
    out("c"),
    state("finished", { exit_code: 0, time: at(4) }),
  );

  expect(target).toMatchObject({
    status: "finished",
    exitCode: 0,
    truncated: false,
    clipped: false,
    startedAt: 1_000,
    endedAt: 4_000,
    output: [
      { stream: "stdout", text: "ab\n" },
      { stream: "stderr", text: "oh" },
      { stream: "stdout", text: "c" },
    ],
  });
  expect(outcomeOf(target)).toBe("succeeded");
});

test.each([
  [state("queued"), "running"],
  [state("running"), "running"],
  [state("finished", { exit_code: 0 }), "succeeded"],
  [state("finished", { exit_code: 1 }), "failed"],
  [state("timed_out"), "failed"],
  [state("cancelled"), "failed"],
  [state("failed", { problem: "/problems/agent-offline" }), "failed"],
  [state("lost"), "failed"],
] as const)("%j is %s", (line, outcome) => {
  expect(outcomeOf(after(line))).toBe(outcome);
});

test("a server that was cancelled while it waited has an end and no beginning", () => {
  const target = after(state("queued"), state("cancelled", { time: at(2) }));
  expect(target).toMatchObject({ startedAt: null, endedAt: 2_000 });
});

test("of too much output the end is shown, and marked as clipped", () => {
  const target = after(
    out("x".repeat(MAX_SHOWN)),
    out("the end", "stderr"),
    state("finished", { exit_code: 0 }),
  );
  const length = target.output.reduce((sum, { text }) => sum + text.length, 0);

  expect(length).toBeLessThanOrEqual(MAX_SHOWN);
  expect(length).toBe(target.size);
  expect(target.output.at(-1)).toEqual({ stream: "stderr", text: "the end" });
  expect(target).toMatchObject({ clipped: true, truncated: false });
});

test("alternating streams stay within a bound", () => {
  let target = newTarget("v1");
  for (let n = 0; n < 5_000; n += 1) {
    target = applyLine(target, out("x", n % 2 ? "stdout" : "stderr"));
  }

  expect(target.output.length).toBeLessThanOrEqual(2_000);
  expect(target.clipped).toBe(true);
});
