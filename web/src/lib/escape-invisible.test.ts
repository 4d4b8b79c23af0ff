import { expect, test } from "vitest";
import { escapeInvisible } from "@/lib/escape-invisible";

test("control characters are shown by their names", () => {
  expect(escapeInvisible("a\nb\u001b[31mc\u0000\u007f")).toBe("a‹LF›b‹ESC›[31mc‹NUL›‹DEL›");
});

test("characters that turn or hide text are shown by number", () => {
  expect(escapeInvisible("invoice\u202efdp.exe")).toBe("invoice‹U+202E›fdp.exe");
  expect(escapeInvisible("\u0085\u200b\ufeff")).toBe("‹U+0085›‹U+200B›‹U+FEFF›");
});

test("bytes that are not UTF-8 are shown by their values", () => {
  expect(escapeInvisible("touch\uefe9.txt\uef80\uefff")).toBe("touch‹\\xe9›.txt‹\\x80›‹\\xff›");
});

test("letters of any script, joined emoji and tabs are unchanged", () => {
  const text = "日志\tنص\u200cها 👩\u200d💻 é";
  expect(escapeInvisible(text)).toBe(text);
});
