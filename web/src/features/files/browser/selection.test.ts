import { expect, test } from "vitest";
import {
  all,
  moved,
  NOTHING,
  only,
  ranged,
  type Selection,
  toggled,
  withoutMissing,
} from "@/features/files/browser/selection";

const names = ["a", "b", "c", "d"];
const summary = ({ chosen, active }: Selection) => [[...chosen].join(""), active];

test("arrows move, and stop at both ends", () => {
  expect(summary(moved(NOTHING, names, 1, false))).toEqual(["a", "a"]);
  expect(summary(moved(NOTHING, names, -1, false))).toEqual(["d", "d"]);
  expect(summary(moved(only("d"), names, 1, false))).toEqual(["d", "d"]);
  expect(summary(moved(only("b"), names, -100, false))).toEqual(["a", "a"]);
  expect(moved(only("b"), [], 1, false)).toBe(NOTHING);
});

test("Shift extends the selection from its start", () => {
  const down = moved(moved(only("b"), names, 1, true), names, 1, true);
  expect(summary(down)).toEqual(["bcd", "d"]);
  const up = moved(moved(moved(down, names, -1, true), names, -1, true), names, -1, true);
  expect(summary(up)).toEqual(["ab", "a"]);
});

test("a range starts at the last selected name, in either direction", () => {
  expect(summary(ranged(only("c"), names, "a"))).toEqual(["abc", "a"]);
  expect(summary(ranged(NOTHING, names, "b"))).toEqual(["b", "b"]);
  expect(summary(ranged(only("gone"), names, "b"))).toEqual(["b", "b"]);
});

test("single names are added and removed", () => {
  expect(summary(toggled(only("a"), "c"))).toEqual(["ac", "c"]);
  expect(summary(toggled(toggled(only("a"), "c"), "a"))).toEqual(["c", "a"]);
});

test("selecting all does not move the cursor", () => {
  expect(summary(all(only("b"), names))).toEqual(["abcd", "b"]);
});

test("missing names leave the selection", () => {
  const selection = all(only("b"), names);
  expect(summary(withoutMissing(selection, ["a", "c"]))).toEqual(["ac", null]);
  expect(withoutMissing(selection, names)).toBe(selection);
});
