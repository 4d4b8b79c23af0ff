import { expect, test } from "vitest";
import {
  allowsAnything,
  currentPermissions,
  NO_PERMISSIONS,
  withoutBlankRoots,
} from "@/features/enrolment/requested-permissions";
import { permissions } from "@/testing/vps.fixture";

test("a new install line starts with what the server allows now", () => {
  const now = permissions({ files: "read", file_roots: ["/srv"], user: "flotilla" });
  expect(currentPermissions(now)).toEqual({
    shell: true,
    commands: true,
    files: "read",
    docker: "actions",
    file_roots: ["/srv"],
    run_as: "agent",
  });
  expect(currentPermissions(permissions()).run_as).toBe("root");
});

test("a server that has reported nothing starts with monitoring only", () => {
  expect(currentPermissions(null)).toEqual(NO_PERMISSIONS);
  expect(allowsAnything(NO_PERMISSIONS)).toBe(false);
});

test("blank lines are no folders, and without any folder the root is meant", () => {
  const requested = { ...NO_PERMISSIONS, file_roots: [" /srv ", "", "  "] };
  expect(withoutBlankRoots(requested).file_roots).toEqual(["/srv"]);
  expect(withoutBlankRoots({ ...requested, file_roots: [""] }).file_roots).toEqual(["/"]);
});
