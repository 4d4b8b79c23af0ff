import { describe, expect, test } from "vitest";
import { crumbs, freeName, joined, nameFault, parentOf, rootOf } from "@/features/files/paths";

describe("a path", () => {
  test("is joined and split without extra slashes", () => {
    expect([joined("/", "etc"), joined("/etc", "hosts")]).toEqual(["/etc", "/etc/hosts"]);
    expect(["/etc/nginx", "/etc/", "/etc", "/"].map(parentOf)).toEqual(["/etc", "/", "/", "/"]);
  });

  test("is shown as steps from its root", () => {
    expect(crumbs("/etc/nginx", "/")).toEqual([
      { name: "/", path: "/" },
      { name: "etc", path: "/etc" },
      { name: "nginx", path: "/etc/nginx" },
    ]);
    expect(crumbs("/srv/www/a", "/srv/www").map(({ path }) => path)).toEqual([
      "/srv/www",
      "/srv/www/a",
    ]);
  });

  test("belongs to the innermost root, and not to one with the same prefix", () => {
    const roots = ["/srv", "/srv/www", "/home"];
    expect(rootOf("/srv/www/a", roots)).toBe("/srv/www");
    expect(rootOf("/srv/wwwroot", roots)).toBe("/srv");
    expect(rootOf("/homes", roots)).toBeNull();
  });
});

describe("a name", () => {
  test.each([
    ["", "empty"],
    ["a/b", "slash"],
    ["..", "dots"],
    ["ä".repeat(128), "long"],
    ["ä".repeat(127), null],
    ["a b\nc", null],
    ["\uefff".repeat(255), null],
    ["\uefff".repeat(256), "long"],
  ])("%j has the fault %j", (name, fault) => {
    expect(nameFault(name)).toBe(fault);
  });

  test("that exists gets a number before its extension", () => {
    expect(freeName("notes.txt", new Set(["notes (2).txt"]))).toBe("notes (3).txt");
    expect(freeName("a.tar.gz", new Set())).toBe("a (2).tar.gz");
    expect(freeName(".profile", new Set())).toBe(".profile (2)");
    expect(freeName("Makefile", new Set())).toBe("Makefile (2)");
  });
});
