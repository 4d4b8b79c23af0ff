import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parseCast } from "@/features/terminal/cast";
import { CastPlayer, type Playing } from "@/features/terminal/cast-player";

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

test("at the end it stops, and play starts over", () => {
  player.play();
  vi.advanceTimersByTime(4000);
  expect(player.position).toBe(4);
  expect(states.at(-1)?.playing).toBe(false);

  shown = [];
  player.play();
  expect(player.position).toBe(0);
  expect(shown).toEqual(["reset", "a"]);
});

test("while paused nothing moves, and play goes on from there", () => {
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

test("speed counts from where it is", () => {
  player.play();
  vi.advanceTimersByTime(500);
  player.setSpeed(4);
  vi.advanceTimersByTime(125);
  expect(shown).toEqual(["reset", "a", "b"]);
  expect(player.position).toBe(1);
  vi.advanceTimersByTime(750);
  expect(shown.at(-1)).toBe("d");
});

test("seeking ahead shows all between at once; seeking back plays from the start", () => {
  player.seek(2);
  expect(shown).toEqual(["reset", "a", "b", "100x30", "c"]);
  expect(player.playing).toBe(false);

  shown = [];
  player.seek(1);
  expect(shown).toEqual(["reset", "ab"]);
  expect(player.position).toBe(1);
});

test("seeking while it plays goes on playing from there", () => {
  player.play();
  player.seek(3);
  vi.advanceTimersByTime(1000);
  expect(shown.at(-1)).toBe("d");
  expect(player.playing).toBe(false);
});

test("one seeks to what is there", () => {
  player.seek(99);
  expect(player.position).toBe(4);
  player.seek(-1);
  expect(player.position).toBe(0);
});
