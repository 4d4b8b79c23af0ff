import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parseCast } from "@/features/terminal/player/cast";
import { CastPlayer, type Playing } from "@/features/terminal/player/cast-player";

const CAST = parseCast(
  [
    '{"version": 2, "width": 80, "height": 24}',
    '[0, "o", "a"]',
    '[1, "o", "b"]',
    '[1.5, "r", "100x30"]',
    '[2, "o", "c"]',
    '[4, "o", "d"]',
  ].join("\n"),
);

let shown: string[];
let states: Playing[];
let player: CastPlayer;

beforeEach(() => {
  vi.useFakeTimers();
  shown = [];
  states = [];
  const stage = {
    reset: () => shown.push("reset"),
    resize: (columns: number, rows: number) => shown.push(`${columns}x${rows}`),
    write: (output: string) => shown.push(output),
  };
  player = new CastPlayer(CAST, stage, (state) => states.push(state));
});

afterEach(() => {
  player.close();
  vi.useRealTimers();
});

test("frames are shown when they are due", () => {
  player.play();
  expect(shown).toEqual(["reset", "a"]);
  vi.advanceTimersByTime(999);
  expect(shown).toEqual(["reset", "a"]);
  vi.advanceTimersByTime(1);
  expect(shown).toEqual(["reset", "a", "b"]);
  vi.advanceTimersByTime(1000);
  expect(shown).toEqual(["reset", "a", "b", "100x30", "c"]);
});

test("playback stops at the end, and then starts over", () => {
  player.play();
  vi.advanceTimersByTime(4000);
  expect(player.position).toBe(4);
  expect(states.at(-1)?.playing).toBe(false);

  shown = [];
  player.play();
  expect(player.position).toBe(0);
  expect(shown).toEqual(["reset", "a"]);
});

test("a pause holds the position, and playback continues from there", () => {
  player.play();
  vi.advanceTimersByTime(500);
  player.pause();
  vi.advanceTimersByTime(60_000);
  expect(player.position).toBe(0.5);
  expect(shown).toEqual(["reset", "a"]);

  player.play();
  vi.advanceTimersByTime(500);
  expect(shown).toEqual(["reset", "a", "b"]);
});

test("a new speed applies from the current position", () => {
  player.play();
  vi.advanceTimersByTime(500);
  player.setSpeed(4);
  vi.advanceTimersByTime(125);
  expect(shown).toEqual(["reset", "a", "b"]);
  expect(player.position).toBe(1);
  vi.advanceTimersByTime(750);
  expect(shown.at(-1)).toBe("d");
});

test("seeking forward shows all frames between at once; seeking back replays from the start", () => {
  player.seek(2);
  expect(shown).toEqual(["reset", "a", "b", "100x30", "c"]);
  expect(player.playing).toBe(false);

  shown = [];
  player.seek(1);
  expect(shown).toEqual(["reset", "ab"]);
  expect(player.position).toBe(1);
});

test("seeking during playback continues from the new position", () => {
  player.play();
  player.seek(3);
  vi.advanceTimersByTime(1000);
  expect(shown.at(-1)).toBe("d");
  expect(player.playing).toBe(false);
});

test("seeking is limited to the recording", () => {
  player.seek(99);
  expect(player.position).toBe(4);
  player.seek(-1);
  expect(player.position).toBe(0);
});
