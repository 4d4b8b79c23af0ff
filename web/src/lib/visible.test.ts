import { expect, test } from "vitest";
import { visible } from "@/lib/visible";

test("control characters are shown by their names", () => {
  expect(visible("a\nb\u001b[31mc\u0000\u007f")).toBe("a‹LF›b‹ESC›[31mc‹NUL›‹DEL›");
});

test("what turns or hides text is shown by its number", () => {
  expect(visible("invoice\u202efdp.exe")).toBe("invoice‹U+202E›fdp.exe");
  expect(visible("\u0085\u200b\ufeff")).toBe("‹U+0085›‹U+200B›‹U+FEFF›");
});

test("letters of any script, joined emoji and tabs stay as they are", () => {
  const text = "日志\tنص\u200cها 👩\u200d💻 é";
  expect(visible(text)).toBe(text);
});
