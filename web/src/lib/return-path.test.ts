import { expect, test } from "vitest";
import { loginPath, returnPath } from "@/lib/return-path";

test("a login returns to the previous page", () => {
  const path = "/servers/7/history?range=24h";
  expect(returnPath(new URL(loginPath(path), window.location.origin).searchParams)).toBe(path);
});

test.each([
  "https://evil.example",
  "//evil.example",
  "javascript:alert(1)",
  "/login",
  "/\\evil.example",
])("a return path of %s leads to the fleet instead", (next) => {
  expect(returnPath(new URLSearchParams({ next }))).toBe("/");
});
