import { expect, test } from "vitest";
import { bitOf, modeText, octal, parseOctal, WHAT, WHOSE } from "@/features/files/dialogs/mode";

test.each([
  [0o644, "file", "-rw-r--r--"],
  [0o755, "directory", "drwxr-xr-x"],
  [0o777, "link", "lrwxrwxrwx"],
  [0o4755, "file", "-rwsr-xr-x"],
  [0o2644, "file", "-rw-r-Sr--"],
  [0o1777, "directory", "drwxrwxrwt"],
  [0o1776, "directory", "drwxrwxrwT"],
  [0, "other", "?---------"],
] as const)("%o of a %s is shown as %s", (mode, kind, text) => {
  expect(modeText(mode, kind)).toBe(text);
});

test("the nine bits of the grid cover all permissions", () => {
  const bits = WHOSE.flatMap((whose) => WHAT.map((what) => bitOf(whose, what)));
  expect(bits).toEqual([0o400, 0o200, 0o100, 0o40, 0o20, 0o10, 0o4, 0o2, 0o1]);
});

test("octal modes are written and read", () => {
  expect([octal(0o644), octal(0o4), octal(0o1777)]).toEqual(["644", "004", "1777"]);
  for (const mode of [0, 0o644, 0o4755]) expect(parseOctal(octal(mode))).toBe(mode);
});

test.each(["", "8", "77777", "-1", "0o644", "rwx"])("%j is not a mode", (text) => {
  expect(parseOctal(text)).toBeNull();
});
