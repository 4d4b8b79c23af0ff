import { EditorState } from "@codemirror/state";
import { expect, test } from "vitest";
import { separatorOf } from "@/features/files/editor/line-breaks";

test.each([
  ["", "\n"],
  ["one line", "\n"],
  ["a\nb\n", "\n"],
  ["a\r\nb\r\n", "\r\n"],
  ["a\r\nb", "\r\n"],
  ["a\r\nb\nc\r\n", "\n"],
  ["a\rb", "\n"],
])("%j has lines that end with %j, and comes out of the editor as it went in", (text, ends) => {
  const separator = separatorOf(text);
  const state = EditorState.create({
    doc: text,
    extensions: EditorState.lineSeparator.of(separator),
  });
  expect(separator).toBe(ends);
  expect(state.sliceDoc()).toBe(text);
});
