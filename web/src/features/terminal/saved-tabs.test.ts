import { beforeEach, expect, test } from "vitest";
import { loadTabs, MAX_TABS, saveTabs, type Tab } from "@/features/terminal/saved-tabs";

const tab = (key: number, session: string | null): Tab => ({
  key,
  session,
  container: null,
  observe: false,
});

beforeEach(() => sessionStorage.clear());

test("a reload restores the terminals of that server only", () => {
  saveTabs("fra", [tab(4, "s1"), { ...tab(7, "s2"), observe: true }]);

  expect(loadTabs("fra")).toEqual([tab(1, "s1"), { ...tab(2, "s2"), observe: true }]);
  expect(loadTabs("ams")).toEqual([]);
});

test("a terminal that was never opened is not restored", () => {
  saveTabs("fra", [tab(1, null), tab(2, "s2")]);

  expect(loadTabs("fra").map(({ session }) => session)).toEqual(["s2"]);
});

test.each(["", "null", "{}", '[1, {"session": 3}, null]', "no JSON"])(
  "%j in the storage is nothing to bring back",
  (saved) => {
    sessionStorage.setItem("flotilla-terminals-fra", saved);
    expect(loadTabs("fra")).toEqual([]);
  },
);

test("the number of restored terminals is bounded", () => {
  saveTabs(
    "fra",
    Array.from({ length: 20 }, (_, index) => tab(index, `s${index}`)),
  );
  expect(loadTabs("fra")).toHaveLength(MAX_TABS);
});
