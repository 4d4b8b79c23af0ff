import { expect, test } from "vitest";
import { filtered, isArchive, ordered, ownerText } from "@/features/files/browser/entries";
import { entryOf } from "@/features/files/browser/entry.fixture";

const names = (list: readonly { name: string }[]) => list.map(({ name }) => name);

const entries = [
  entryOf("b10", { size_bytes: 1, modified_at: "2026-01-02T00:00:00Z" }),
  entryOf("b9", { size_bytes: 3 }),
  entryOf("sub", { kind: "directory", size_bytes: 4096 }),
  entryOf("A", { size_bytes: 2 }),
];

test("folders come first, and numbers in names count as numbers", () => {
  const byName = ordered(entries, { key: "name", descending: false });
  expect(names(byName)).toEqual(["sub", "A", "b9", "b10"]);
  const backwards = ordered(entries, { key: "name", descending: true });
  expect(names(backwards)).toEqual(["sub", "b10", "b9", "A"]);
});

test("files are sorted by size and time", () => {
  expect(names(ordered(entries, { key: "size", descending: true }))).toEqual([
    "sub",
    "b9",
    "A",
    "b10",
  ]);
  expect(names(ordered(entries, { key: "modified", descending: true }))[1]).toBe("b10");
});

test("names that differ only in case have a stable order", () => {
  const pair = [entryOf("a"), entryOf("A")];
  const order = { key: "name", descending: false } as const;
  expect(names(ordered(pair, order))).toEqual(names(ordered(pair.toReversed(), order)));
});

test("a filter finds parts of names and ignores case", () => {
  expect(names(filtered(entries, " B"))).toEqual(["b10", "b9", "sub"]);
});

test("an owner without a name is shown by its number", () => {
  expect(ownerText(entryOf("a", { owner: "", user_id: 1000 }))).toBe("1000:root");
});

test("archives are recognised by their names", () => {
  const kinds = ["a.tar", "a.tgz", "a.TAR.GZ", "a.zip", "a.tar.zst", "a.gz", "zip"];
  expect(kinds.map((name) => isArchive(entryOf(name)))).toEqual([
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
