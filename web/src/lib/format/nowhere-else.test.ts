import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const SOURCE = join(import.meta.dirname, "../..");
// Digits of coordinates in a drawing.
const ALLOWED = new Set(["features/fleet/sparkline.tsx"]);
const FORMATS =
  /Intl\.(DateTimeFormat|NumberFormat|RelativeTimeFormat)|\.toLocale\w*\(|\.toFixed\(|\.get(Hours|Minutes|Date)\(\)/;

test("only lib/format writes numbers and times, so that all pages follow the user's preferences", () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter(
    (name) =>
      /\.tsx?$/.test(name) &&
      !/\.(test|fixture)\.tsx?$/.test(name) &&
      !name.startsWith("lib/format/") &&
      !ALLOWED.has(name),
  );
  const found = files.filter((name) => FORMATS.test(readFileSync(join(SOURCE, name), "utf8")));
  // Use useFormat() instead.
  expect(found).toEqual([]);
});
