import { beforeEach, expect, test } from "vitest";
import { keepTabs, MOST_TABS, recallTabs, type Tab } from "@/features/terminal/open-tabs";

const tab = (key: number, session: string | null): Tab => ({
  ...{ key, session, container: null, observe: false },
});

beforeEach(() => sessionStorage.clear());

test("a reload brings back the sessions of that server, and of no other", () => {
  keepTabs("fra", [tab(4, "s1"), { ...tab(7, "s2"), observe: true }]);

  expect(recallTabs("fra")).toEqual([tab(1, "s1"), { ...tab(2, "s2"), observe: true }]);
  expect(recallTabs("ams")).toEqual([]);
});

test("a terminal that was never opened is not opened by a reload", () => {
  keepTabs("fra", [tab(1, null), tab(2, "s2")]);

  expect(recallTabs("fra").map(({ session }) => session)).toEqual(["s2"]);
});

test.each(["", "null", "{}", '[1, {"session": 3}, null]', "no JSON"])(
  "%j in the storage is nothing to bring back",
  (kept) => {
    sessionStorage.setItem("flotilla-terminals-fra", kept);
    expect(recallTabs("fra")).toEqual([]);
  },
);

test("there is a bound to what is brought back", () => {
  keepTabs(
    "fra",
    Array.from({ length: 20 }, (_, index) => tab(index, `s${index}`)),
  );
  expect(recallTabs("fra")).toHaveLength(MOST_TABS);
});
