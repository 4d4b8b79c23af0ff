import { describe, expect, test } from "vitest";
import { containerOf } from "@/features/docker/containers/container.fixture";
import {
  groupContainers,
  inStartOrder,
  nameOf,
  stateCounts,
} from "@/features/docker/containers/container-groups";

const ALL = { text: "", state: "" };
const names = (list: ReturnType<typeof groupContainers>) =>
  list.map(({ project, containers }) => [project, ...containers.map(nameOf)]);

describe("groupContainers", () => {
  const shop = { project: "shop" };
  const blog = { project: "blog" };
  const containers = [
    containerOf("alone"),
    containerOf("web", { ...shop, image: "nginx:1" }),
    containerOf("db", { ...shop, state: "exited" }),
    containerOf("blog", blog),
  ];

  test("are sorted by project, with unassigned containers last", () => {
    expect(names(groupContainers(containers, ALL))).toEqual([
      ["blog", "blog"],
      ["shop", "db", "web"],
      [null, "alone"],
    ]);
  });

  test("are searched by name, image, project and id", () => {
    expect(names(groupContainers(containers, { text: " NGINX", state: "" }))).toEqual([
      ["shop", "web"],
    ]);
    expect(names(groupContainers(containers, { text: "shop", state: "" }))).toEqual([
      ["shop", "db", "web"],
    ]);
    expect(names(groupContainers(containers, { text: "alone0", state: "" }))).toEqual([
      [null, "alone"],
    ]);
    expect(groupContainers(containers, { text: "nothing", state: "" })).toEqual([]);
  });

  test("are filtered by state", () => {
    expect(names(groupContainers(containers, { text: "", state: "exited" }))).toEqual([
      ["shop", "db"],
    ]);
  });

  test('a project named "null" is still a project', () => {
    const list = groupContainers([containerOf("a"), containerOf("b", { project: "null" })], ALL);
    expect(names(list)).toEqual([
      ["null", "b"],
      [null, "a"],
    ]);
  });
});

test("a container without a name is shown by its id", () => {
  expect(nameOf({ id: "0123456789abcdef", names: [] })).toBe("0123456789ab");
  expect(nameOf({ id: "0123456789abcdef", names: ["/web"] })).toBe("web");
});

test("states are counted, running first and unknown ones last", () => {
  const states = ["exited", "sleeping", "running", "exited"];
  const containers = states.map((state, index) => containerOf(String(index), { state }));
  expect(stateCounts(containers)).toEqual([
    ["running", 1],
    ["exited", 2],
    ["sleeping", 1],
  ]);
});

test("a project starts in the order of creation and stops in the reverse order", () => {
  const at = (second: number) => `2026-01-01T00:00:0${second}Z`;
  const containers = [
    containerOf("web", { created_at: at(2) }),
    containerOf("db", { created_at: at(1) }),
    containerOf("job", { created_at: at(3), state: "exited" }),
    containerOf("seed", { created_at: at(0), state: "exited" }),
  ];
  expect(inStartOrder(containers, "stop").map(nameOf)).toEqual(["web", "db"]);
  expect(inStartOrder(containers, "start").map(nameOf)).toEqual(["seed", "job"]);
});
