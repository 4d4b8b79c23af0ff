import { expect, test } from "vitest";
import {
  all,
  kept,
  moved,
  NOTHING,
  only,
  ranged,
  type Selection,
  toggled,
} from "@/features/files/selection";

const names = ["a", "b", "c", "d"];
const told = ({ chosen, active }: Selection) => [[...chosen].join(""), active];

test("arrows move, and stop at both ends", () => {
  expect(told(moved(NOTHING, names, 1, false))).toEqual(["a", "a"]);
  expect(told(moved(NOTHING, names, -1, false))).toEqual(["d", "d"]);
  expect(told(moved(only("d"), names, 1, false))).toEqual(["d", "d"]);
  expect(told(moved(only("b"), names, -100, false))).toEqual(["a", "a"]);
  expect(moved(only("b"), [], 1, false)).toBe(NOTHING);
});

test("with Shift they choose from where one began", () => {
  const down = moved(moved(only("b"), names, 1, true), names, 1, true);
  expect(told(down)).toEqual(["bcd", "d"]);
  const up = moved(moved(moved(down, names, -1, true), names, -1, true), names, -1, true);
  expect(told(up)).toEqual(["ab", "a"]);
});

test("a range goes from the last one chosen, in either direction", () => {
  expect(told(ranged(only("c"), names, "a"))).toEqual(["abc", "a"]);
  expect(told(ranged(NOTHING, names, "b"))).toEqual(["b", "b"]);
  expect(told(ranged(only("gone"), names, "b"))).toEqual(["b", "b"]);
});

test("single ones are added and taken away", () => {
  expect(told(toggled(only("a"), "c"))).toEqual(["ac", "c"]);
  expect(told(toggled(toggled(only("a"), "c"), "a"))).toEqual(["c", "a"]);
});

test("all are chosen without moving", () => {
  expect(told(all(only("b"), names))).toEqual(["abcd", "b"]);
});

test("what is gone is not chosen any more", () => {
  const selection = all(only("b"), names);
  expect(told(kept(selection, ["a", "c"]))).toEqual(["ac", null]);
  expect(kept(selection, names)).toBe(selection);
});
