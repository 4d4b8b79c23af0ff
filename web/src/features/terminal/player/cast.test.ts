import { expect, test } from "vitest";
import { CastError, parseCast } from "@/features/terminal/player/cast";

const HEADER = JSON.stringify({ version: 2, width: 80, height: 24, timestamp: 1_700_000_000 });

function recording(...events: unknown[]): string {
  return [HEADER, ...events.map((event) => JSON.stringify(event)), ""].join("\n");
}

test("output and resizes keep their order and times", () => {
  const cast = parseCast(recording([0.5, "o", "a"], [1, "r", "100x30"], [1.25, "o", "b"]));

  expect(cast).toEqual({
    columns: 80,
    rows: 24,
    duration: 1.25,
    frames: [
      { at: 0.5, output: "a" },
      { at: 1, columns: 100, rows: 30 },
      { at: 1.25, output: "b" },
    ],
  });
});

test("pauses are shortened to two seconds", () => {
  const cast = parseCast(recording([1, "o", "a"], [3601, "o", "b"], [3601.5, "o", "c"]));

  expect(cast.frames.map(({ at }) => at)).toEqual([1, 3, 3.5]);
  expect(cast.duration).toBe(3.5);
});

test("input, markers and incomplete lines are skipped", () => {
  const text = recording([0, "o", "a"], [1, "i", "secret"], [1, "m", ""], [1, "r", "0x0"]);

  expect(parseCast(`${text}[2, "o", "b`).frames).toEqual([{ at: 0, output: "a" }]);
});

test("a clock that went backwards does not stop the playback", () => {
  const cast = parseCast(recording([5, "o", "a"], [3, "o", "b"], [6, "o", "c"]));

  expect(cast.frames.map(({ at }) => at)).toEqual([2, 2, 3]);
});

test.each(["", "{}", "<html>", '{"version": 1, "width": 80, "height": 24}'])(
  "%j is no recording",
  (text) => {
    expect(() => parseCast(text)).toThrow(CastError);
  },
);

test("an impossible size is bounded", () => {
  const cast = parseCast('{"version": 2, "width": 65535, "height": 65535}\n');

  expect([cast.columns, cast.rows]).toEqual([1000, 500]);
});
