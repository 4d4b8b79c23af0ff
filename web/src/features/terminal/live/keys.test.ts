import { expect, test } from "vitest";
import { bytesOf, withControl } from "@/features/terminal/live/keys";

test("Ctrl makes the control character of a letter, in either case", () => {
  expect([..."cCdZ[@ "].map(withControl)).toEqual([
    "\u0003",
    "\u0003",
    "\u0004",
    "\u001a",
    "\u001b",
    "\u0000",
    "\u0000",
  ]);
});

test("a key without a control character is typed unchanged", () => {
  expect(["1", "é", "pasted", "\u001b[A"].map(withControl)).toEqual([
    "1",
    "é",
    "pasted",
    "\u001b[A",
  ]);
});

test("arrow keys follow the mode of the program", () => {
  expect(bytesOf("up", false)).toBe("\u001b[A");
  expect(bytesOf("up", true)).toBe("\u001bOA");
  expect(bytesOf("escape", true)).toBe("\u001b");
  expect(bytesOf("tab", true)).toBe("\t");
});
