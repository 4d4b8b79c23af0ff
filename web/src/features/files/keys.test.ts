import { expect, test } from "vitest";
import { keyAct } from "@/features/files/keys";
import { NOTHING, only } from "@/features/files/selection";

const names = ["a", "b", "c"];
const plain = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };

function pressed(key: string, held: Partial<typeof plain> = {}, may = true) {
  const act = keyAct({ ...plain, ...held, key }, only("b"), names, may);
  if (act && "selection" in act) return [[...act.selection.chosen].join(""), act.selection.active];
  return act?.act ?? null;
}

test("arrows and their kin move", () => {
  expect(["ArrowDown", "ArrowUp", "End", "Home"].map((key) => pressed(key))).toEqual([
    ["c", "c"],
    ["a", "a"],
    ["c", "c"],
    ["a", "a"],
  ]);
  expect(pressed("End", { shiftKey: true })).toEqual(["bc", "c"]);
});

test("keys act on what is chosen", () => {
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

test("where only reading is allowed nothing changes", () => {
  expect(["F2", "Delete"].map((key) => pressed(key, {}, false))).toEqual([null, null]);
});

test("the browser keeps its own keys", () => {
  expect(pressed("ArrowUp", { altKey: true })).toBeNull();
  expect(pressed("f", { ctrlKey: true })).toBeNull();
  expect(pressed("Tab")).toBeNull();
  expect(keyAct({ ...plain, key: "Escape" }, NOTHING, names, true)).toBeNull();
});
