import { expect, test } from "vitest";
import { inspectPaste, LONGEST_PASTE, needsAsking } from "@/features/terminal/paste-guard";

test("a piece of one line is pasted without asking", () => {
  const paste = inspectPaste("systemctl status nginx\t# 状态 🚀");

  expect(needsAsking(paste)).toBe(false);
  expect(paste).toMatchObject({ text: "systemctl status nginx\t# 状态 🚀", lines: 1, removed: 0 });
});

test.each([
  ["ls\nrm -rf build", 2],
  ["ls\r\nrm -rf build", 2],
  ["ls\rrm -rf build", 2],
  ["whoami\n", 1],
])("a line break in %j is asked about", (raw, lines) => {
  const paste = inspectPaste(raw);

  expect(needsAsking(paste)).toBe(true);
  expect(paste.lines).toBe(lines);
  expect(paste.text).not.toContain("\r");
});

test("nothing leaves the brackets of a bracketed paste", () => {
  const paste = inspectPaste("echo safe\u001b[201~\nrm -rf ~");

  expect(paste.text).toBe("echo safe[201~\nrm -rf ~");
  expect(paste.removed).toBe(1);
  expect(needsAsking(paste)).toBe(true);
});

test.each(["\u0003", "\u0004", "\u007f", "\u009b", "\u0000", "\u202e", "\u2066"])(
  "%j is taken out and told",
  (character) => {
    const paste = inspectPaste(`a${character}b`);

    expect(paste).toMatchObject({ text: "ab", removed: 1 });
    expect(needsAsking(paste)).toBe(true);
  },
);

test("what is too long is not pasted in silence", () => {
  expect(needsAsking(inspectPaste("x".repeat(LONGEST_PASTE)))).toBe(false);
  expect(inspectPaste("x".repeat(LONGEST_PASTE + 1)).tooLong).toBe(true);
  expect(needsAsking(inspectPaste("x".repeat(LONGEST_PASTE + 1)))).toBe(true);
});
