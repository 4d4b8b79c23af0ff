import { expect, test } from "vitest";
import { keyAction } from "@/features/files/browser/key-actions";
import { NOTHING, only } from "@/features/files/browser/selection";

const names = ["a", "b", "c"];
const plain = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };

function pressed(key: string, held: Partial<typeof plain> = {}, canWrite = true) {
  const act = keyAction({ ...plain, ...held, key }, only("b"), names, canWrite);
  if (act && "selection" in act) return [[...act.selection.chosen].join(""), act.selection.active];
  return act?.act ?? null;
}

test("arrow keys, Home and End move", () => {
  expect(["ArrowDown", "ArrowUp", "End", "Home"].map((key) => pressed(key))).toEqual([
    ["c", "c"],
    ["a", "a"],
    ["c", "c"],
    ["a", "a"],
  ]);
  expect(pressed("End", { shiftKey: true })).toEqual(["bc", "c"]);
});

test("keys act on the selection", () => {
  expect(["Enter", "Backspace", "F2", "Delete"].map((key) => pressed(key))).toEqual([
    "open",
    "up",
    "rename",
    "delete",
  ]);
  expect(pressed("a", { ctrlKey: true })).toEqual(["abc", "b"]);
  expect(pressed(" ")).toEqual(["", "b"]);
  expect(pressed("Escape")).toEqual(["", "b"]);
});

test("read-only access disables changes", () => {
  expect(["F2", "Delete"].map((key) => pressed(key, {}, false))).toEqual([null, null]);
});

test("keys of the browser are left alone", () => {
  expect(pressed("ArrowUp", { altKey: true })).toBeNull();
  expect(pressed("f", { ctrlKey: true })).toBeNull();
  expect(pressed("Tab")).toBeNull();
  expect(keyAction({ ...plain, key: "Escape" }, NOTHING, names, true)).toBeNull();
});
