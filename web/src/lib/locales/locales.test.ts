import { expect, test } from "vitest";
import en from "@/lib/locales/en.json";
import zhCN from "@/lib/locales/zh-CN.json";

type Tree = { [key: string]: string | Tree };

// Plural forms count as one key: English has two, Chinese one.
function entries(tree: Tree, prefix = ""): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === "string"
      ? [[prefix + key.replace(/_(one|other)$/, ""), value] as [string, string]]
      : entries(value, `${prefix}${key}.`),
  );
}

function placeholders(text: string): string[] {
  return [...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name ?? "").sort();
}

const english = new Map(entries(en));
const chinese = new Map(entries(zhCN));

test("both languages have the same keys", () => {
  expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
});

test("both languages fill in the same values", () => {
  for (const [key, text] of english) {
    expect([key, placeholders(chinese.get(key) ?? "")]).toEqual([key, placeholders(text)]);
  }
});

test("no text is empty", () => {
  expect([...english, ...chinese].filter(([, text]) => text.trim() === "")).toEqual([]);
});
