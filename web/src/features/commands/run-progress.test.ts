import { expect, test } from "vitest";
import type { CommandLine } from "@/api/commands";
import {
  abandoned,
  isOver,
  MOST_SHOWN,
  newTarget,
  outcomeOf,
  progressed,
  type Target,
} from "@/features/commands/run-progress";

const BEFORE = newTarget("v1", "fra-web-01");

function after(...lines: Partial<CommandLine>[]): Target {
  return lines.reduce<Target>(
    (target, line, index) => progressed(target, { vps_id: "v1", ...line } as CommandLine, index),
    BEFORE,
  );
}

test("a script that ran is told with its output, code and time", () => {
  const target = after(
    { event: "started", command_id: "c1" },
    { event: "output", stdout: "a" },
    { event: "output", stdout: "b\n", stderr: "oh" },
    { event: "output", stdout: "c" },
    { event: "finished", status: "finished", exit_code: 0, truncated: false },
  );

  expect(target).toMatchObject({
    ...{ status: "finished", commandId: "c1", exitCode: 0, truncated: false },
    ...{ startedAt: 0, endedAt: 4 },
    output: [
      { stream: "stdout", text: "ab\n" },
      { stream: "stderr", text: "oh" },
      { stream: "stdout", text: "c" },
    ],
  });
  expect(outcomeOf(target)).toBe("succeeded");
});

test.each([
  [{ event: "finished", status: "finished", exit_code: 1 }, "failed"],
  [{ event: "finished", status: "timed_out" }, "failed"],
  [{ event: "finished", status: "cancelled" }, "failed"],
  [{ event: "failed", status: "failed", reason: "offline" }, "failed"],
  [{ event: "failed", reason: "offline" }, "failed"],
  [{ event: "started" }, "running"],
] as const)("%j is %s", (line, outcome) => {
  expect(outcomeOf(after(line))).toBe(outcome);
});

test("of too much output the end is kept, and it is told", () => {
  const target = after(
    { event: "output", stdout: "x".repeat(MOST_SHOWN) },
    { event: "output", stderr: "the end" },
    { event: "finished", status: "finished", exit_code: 0, truncated: false },
  );
  const length = target.output.reduce((sum, { text }) => sum + text.length, 0);

  expect(length).toBeLessThanOrEqual(MOST_SHOWN);
  expect(length).toBe(target.size);
  expect(target.output.at(-1)).toEqual({ stream: "stderr", text: "the end" });
  expect(target.truncated).toBe(true);
});

test("streams that alternate for ever stay within a bound", () => {
  let target = BEFORE;
  for (let n = 0; n < 5_000; n += 1) {
    const line = n % 2 ? { stdout: "x" } : { stderr: "y" };
    target = progressed(target, { vps_id: "v1", event: "output", ...line }, 0);
  }

  expect(target.output.length).toBeLessThanOrEqual(2_000);
  expect(target.truncated).toBe(true);
});

test("when nobody tells any more, what had not begun never will", () => {
  expect(abandoned(BEFORE).status).toBe("unsent");
  expect(abandoned(after({ event: "started" })).status).toBe("lost");
  const over = after({ event: "finished", status: "finished", exit_code: 0 });
  expect(abandoned(over)).toBe(over);
  expect(isOver(abandoned(BEFORE))).toBe(true);
});
