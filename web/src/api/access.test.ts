import { expect, test } from "vitest";
import { grantable, reaches, rightsOf, roleIn, withinRole } from "@/api/access";
import { account } from "@/testing/account.fixture";
import { vps } from "@/testing/vps.fixture";

test("a role includes the roles before it", () => {
  expect(reaches("admin", "operator")).toBe(true);
  expect(reaches("viewer", "operator")).toBe(false);
  expect(reaches(null, "viewer")).toBe(false);
});

test("nobody gives more than they have, and only administrators and owners give roles", () => {
  expect(grantable("owner")).toEqual(["viewer", "operator", "admin", "owner"]);
  expect(grantable("admin")).toEqual(["viewer", "operator", "admin"]);
  expect(grantable("operator")).toEqual([]);
  expect(grantable(null)).toEqual([]);
});

test("the role in an organisation decides what is offered on its servers", () => {
  expect(roleIn(account("operator"), "o1")).toBe("operator");
  expect(roleIn(account("owner"), "o2")).toBe(null);
  expect(rightsOf("viewer")).toEqual({ act: false, manage: false });
  expect(rightsOf("operator")).toEqual({ act: true, manage: false });
  expect(rightsOf(null)).toEqual({ act: true, manage: false }); // shared with the user
  expect(rightsOf("admin")).toEqual({ act: true, manage: true });
});

test("a viewer may look at Docker, and uses nothing else of what the policy allows", () => {
  expect(withinRole(vps(), rightsOf("viewer")).powers).toMatchObject({
    shell: false,
    commands: false,
    files: "off",
    docker: "read",
  });
  expect(withinRole(vps(), rightsOf("operator")).powers).toEqual(vps().powers);
});
