import { expect, test } from "vitest";
import en from "@/app/locales/en.json";
import pages from "@/app/locales/en-pages.json";
import zhCN from "@/app/locales/zh-CN.json";

type Tree = { [key: string]: string | Tree };

// Plural forms count as one key, because English has two and Chinese has one.
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

const english = new Map([...entries(en), ...entries(pages)]);
const chinese = new Map(entries(zhCN));

test("both languages have the same keys", () => {
  expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
});

test("both languages use the same placeholders", () => {
  for (const [key, text] of english) {
    expect([key, placeholders(chinese.get(key) ?? "")]).toEqual([key, placeholders(text)]);
  }
});

test("no text is empty", () => {
  expect([...english, ...chinese].filter(([, text]) => text.trim() === "")).toEqual([]);
});
