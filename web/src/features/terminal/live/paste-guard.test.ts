import { expect, test } from "vitest";
import { inspectPaste, MAX_PASTE_LENGTH, needsAsking } from "@/features/terminal/live/paste-guard";

test("a single line is pasted without a question", () => {
  const paste = inspectPaste("systemctl status nginx\t# 状态 🚀");

  expect(needsAsking(paste)).toBe(false);
  expect(paste).toMatchObject({ text: "systemctl status nginx\t# 状态 🚀", lines: 1, removed: 0 });
});

test.each([
  ["ls\nrm -rf build", 2],
  ["ls\r\nrm -rf build", 2],
  ["ls\rrm -rf build", 2],
  ["whoami\n", 1],
])("a line break in %j needs a confirmation", (raw, lines) => {
  const paste = inspectPaste(raw);

  expect(needsAsking(paste)).toBe(true);
  expect(paste.lines).toBe(lines);
  expect(paste.text).not.toContain("\r");
});

test("a paste cannot end its bracketed mode", () => {
  const paste = inspectPaste("echo safe\u001b[201~\nrm -rf ~");

  expect(paste.text).toBe("echo safe[201~\nrm -rf ~");
  expect(paste.removed).toBe(1);
  expect(needsAsking(paste)).toBe(true);
});

test.each(["\u0003", "\u0004", "\u007f", "\u009b", "\u0000", "\u202e", "\u2066"])(
  "%j is removed and reported",
  (character) => {
    const paste = inspectPaste(`a${character}b`);

    expect(paste).toMatchObject({ text: "ab", removed: 1 });
    expect(needsAsking(paste)).toBe(true);
  },
);

test("a text that is too long needs a confirmation", () => {
  expect(needsAsking(inspectPaste("x".repeat(MAX_PASTE_LENGTH)))).toBe(false);
  expect(inspectPaste("x".repeat(MAX_PASTE_LENGTH + 1)).tooLong).toBe(true);
  expect(needsAsking(inspectPaste("x".repeat(MAX_PASTE_LENGTH + 1)))).toBe(true);
});
