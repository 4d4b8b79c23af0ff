import { describe, expect, test } from "vitest";
import type { ContainerLogLine as RawLine } from "@/api/docker";
import {
  appended,
  asText,
  EMPTY_LOG,
  found,
  isLater,
  MAX_LINES,
  newLines,
  split,
} from "@/features/docker/logs/log-buffer";

function line(text: string, time: string | null = null): RawLine {
  return { time, stream: "stdout", text };
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => line(String(from + index)));

describe("a log", () => {
  test("keeps the newest lines and counts the discarded ones", () => {
    const log = appended(appended(EMPTY_LOG, numbered(0, MAX_LINES)), numbered(MAX_LINES, 20_050));

    expect(log.lines).toHaveLength(MAX_LINES);
    expect([log.lines[0]?.text, log.lines.at(-1)?.text]).toEqual(["50", "20049"]);
    expect(log.dropped).toBe(50);
  });

  test("accepts a burst larger than its bound", () => {
    const log = appended(EMPTY_LOG, numbered(0, MAX_LINES + 7));
    expect([log.lines.length, log.dropped]).toEqual([MAX_LINES, 7]);
  });

  test("discards more when lines are very long", () => {
    let log = EMPTY_LOG;
    for (let round = 0; round < 20; round += 1) {
      log = appended(log, [line("x".repeat(1_000_000))]);
    }
    expect(log.lines).toHaveLength(16);
    expect(log.characters).toBe(16_000_000);
    expect(log.dropped).toBe(4);
  });

  test("gives each line an id that it keeps", () => {
    const first = appended(EMPTY_LOG, numbered(0, 2));
    const second = appended(first, numbered(2, 4));
    expect(second.lines.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect(second.lines[0]).toBe(first.lines[0]);
  });

  test("drops colours and keeps other escape sequences", () => {
    const log = appended(EMPTY_LOG, [line("\u001b[1;31mred\u001b[0m \u001b[2Jgone")]);
    expect(log.lines[0]?.text).toBe("red \u001b[2Jgone");
  });

  test("marks where lines may be missing", () => {
    const log = appended(appended(EMPTY_LOG, [line("a")]), [line("b"), line("c")], true);
    expect(log.lines.map(({ gap }) => gap)).toEqual([false, true, false]);
  });
});

describe("a tail sent again", () => {
  const tail = [
    line("a", "2026-01-01T00:00:00.000000001Z"),
    line("b", "2026-01-01T00:00:00.000000002Z"),
    line("c", "2026-01-01T00:00:01Z"),
  ];

  test("brings only what is new", () => {
    expect(newLines(tail, "2026-01-01T00:00:00.000000001Z").map(({ text }) => text)).toEqual([
      "b",
      "c",
    ]);
    expect(newLines(tail, "2026-01-01T00:00:01.000000000Z")).toEqual([]);
    expect(newLines(tail, null)).toBe(tail);
  });

  test("is compared to the nanosecond, in any time zone", () => {
    expect(isLater("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.09Z")).toBe(true);
    expect(isLater("2026-01-01T01:00:00.1+01:00", "2026-01-01T00:00:00.1Z")).toBe(false);
    expect(isLater("2026-01-01T01:00:00.2+01:00", "2026-01-01T00:00:00.1Z")).toBe(true);
  });
});

describe("a search", () => {
  const { lines } = appended(EMPTY_LOG, [line("Error: no"), line("fine"), line("an error")]);

  test("ignores case", () => {
    expect(found(lines, { term: "ERROR", onlyMatches: false })).toEqual({
      shown: lines,
      matches: [0, 2],
    });
  });

  test("can hide the other lines", () => {
    const { shown, matches } = found(lines, { term: "error", onlyMatches: true });
    expect([shown.map(({ id }) => id), matches]).toEqual([
      [1, 3],
      [0, 1],
    ]);
  });

  test("marks every match in a line", () => {
    expect(split("aXbxc", "x")).toEqual(["a", "X", "b", "x", "c"]);
    expect(split("abc", "")).toEqual(["abc"]);
    expect(split("a<b>", "<b>")).toEqual(["a", "<b>", ""]);
  });

  test("marks nothing where case changes the length", () => {
    expect(split("İx", "x")).toEqual(["İx"]);
  });
});

test("a downloaded log names time and stream", () => {
  const { lines } = appended(EMPTY_LOG, [
    { time: "2026-01-01T00:00:00Z", stream: "stderr", text: "no" },
    line("yes"),
  ]);
  expect(asText(lines)).toBe("2026-01-01T00:00:00Z stderr no\n- stdout yes\n");
});
