import { expect, test } from "vitest";
import { plainOutput } from "@/features/runs/results/plain-output";

test.each([
  ["\u001b[1;31mred\u001b[0m", "red"],
  ["\u001b]0;a title\u0007text", "text"],
  ["\u001b]52;c;ZXZpbA==\u001b\\text", "text"],
  ["\u001b]8;;https://example.com\u001b\\link\u001b]8;;\u001b\\", "link"],
  ["\u001b(Bplain\u001b=", "plain"],
  ["10 %\r20 %\r\ndone\r\n", "10 %\n20 %\ndone\n"],
  ["a\tb\n状态", "a\tb\n状态"],
  ["bell\u0007 \u0000", "bell\ufffd \ufffd"],
  ["<b>bold</b>", "<b>bold</b>"],
])("%j becomes %j", (output, text) => {
  expect(plainOutput(output)).toBe(text);
});

test("an unfinished escape sequence removes only its own text", () => {
  expect(plainOutput(`\u001b]${"x".repeat(100_000)}`)).toBe("");
  expect(plainOutput("\u001b")).toBe("\ufffd");
});
