import { describe, expect, test } from "vitest";
import { containerOf } from "@/features/docker/container.fixture";
import { groups, inTurn, nameOf, stateCounts } from "@/features/docker/container-groups";

const ALL = { text: "", state: "" };
const told = (list: ReturnType<typeof groups>) =>
  list.map(({ project, containers }) => [project, ...containers.map(nameOf)]);

describe("groups", () => {
  const shop = { project: "shop" };
  const blog = { project: "blog" };
  const containers = [
    containerOf("alone"),
    containerOf("web", { ...shop, image: "nginx:1" }),
    containerOf("db", { ...shop, state: "exited" }),
    containerOf("blog", blog),
  ];

  test("are projects by name, and last what belongs to none", () => {
    expect(told(groups(containers, ALL))).toEqual([
      ["blog", "blog"],
      ["shop", "db", "web"],
      [null, "alone"],
    ]);
  });

  test("are searched by name, image, project and id", () => {
    expect(told(groups(containers, { text: " NGINX", state: "" }))).toEqual([["shop", "web"]]);
    expect(told(groups(containers, { text: "shop", state: "" }))).toEqual([["shop", "db", "web"]]);
    expect(told(groups(containers, { text: "alone0", state: "" }))).toEqual([[null, "alone"]]);
    expect(groups(containers, { text: "nothing", state: "" })).toEqual([]);
  });

  test("are filtered by state", () => {
    expect(told(groups(containers, { text: "", state: "exited" }))).toEqual([["shop", "db"]]);
  });

  test("a project that is called like nothing is still a project", () => {
    const list = groups([containerOf("a"), containerOf("b", { project: "null" })], ALL);
    expect(told(list)).toEqual([
      ["null", "b"],
      [null, "a"],
    ]);
  });
});

test("a container without a name is called by its id", () => {
  expect(nameOf({ id: "0123456789abcdef", names: [] })).toBe("0123456789ab");
  expect(nameOf({ id: "0123456789abcdef", names: ["/web"] })).toBe("web");
});

test("states are counted, those that run first, unknown ones last", () => {
  const states = ["exited", "sleeping", "running", "exited"];
  const containers = states.map((state, index) => containerOf(String(index), { state }));
  expect(stateCounts(containers)).toEqual([
    ["running", 1],
    ["exited", 2],
    ["sleeping", 1],
  ]);
});

test("a project starts in the order it was made and stops in the reverse", () => {
  const at = (second: number) => `2026-01-01T00:00:0${second}Z`;
  const containers = [
    containerOf("web", { created_at: at(2) }),
    containerOf("db", { created_at: at(1) }),
    containerOf("job", { created_at: at(3), state: "exited" }),
    containerOf("seed", { created_at: at(0), state: "exited" }),
  ];
  expect(inTurn(containers, "stop").map(nameOf)).toEqual(["web", "db"]);
  expect(inTurn(containers, "start").map(nameOf)).toEqual(["seed", "job"]);
});
