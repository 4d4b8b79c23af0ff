// Fails when what a first visit loads (the entry, everything it imports at once, and the font of
// Latin text) outgrows its budget. The rest up to 300 kB is for answers of the API and headers.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";

const BUDGET = 290_000; // bytes, brotli
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

function filesOf(key, seen = new Set()) {
  const chunk = manifest[key];
  if (seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const css of chunk.css ?? []) seen.add(css);
  for (const imported of chunk.imports ?? []) filesOf(imported, seen);
  return seen;
}

function sent(file) {
  const compressed = new URL(`${file}.br`, dist);
  return statSync(existsSync(compressed) ? compressed : new URL(file, dist)).size;
}

const total = (files) => [...files].reduce((sum, file) => sum + sent(file), 0);
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

const page = readFileSync(new URL("index.html", dist), "utf8");
const entry = new Set([...page.matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, file]) => file));
const font = readdirSync(new URL("assets/", dist)).find((name) =>
  name.startsWith("inter-latin-wght-"),
);
if (!font) throw new Error("the build has no font for Latin text");
const first = total([...entry, "index.html", `assets/${font}`]);
for (const [key, chunk] of Object.entries(manifest)) {
  if (!chunk.isDynamicEntry) continue;
  const extra = [...filesOf(key)].filter((file) => !entry.has(file));
  process.stdout.write(`  + ${key}: ${kb(total(extra))} in ${extra.length} files\n`);
}
process.stdout.write(`First load: ${kb(first)} brotli of ${kb(BUDGET)}, ${entry.size + 2} files\n`);
if (first > BUDGET) process.exit(1);
