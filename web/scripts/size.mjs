// Fails when what a first visit loads (the entry and everything it imports at once) outgrows its budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET = 300_000; // bytes, gzip
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

const gzip = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
const total = (files) => [...files].reduce((sum, file) => sum + gzip(file), 0);
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

const entry = filesOf("index.html");
const first = total(entry);
for (const [key, chunk] of Object.entries(manifest)) {
  if (!chunk.isDynamicEntry) continue;
  const extra = [...filesOf(key)].filter((file) => !entry.has(file));
  process.stdout.write(`  + ${key}: ${kb(total(extra))}\n`);
}
process.stdout.write(`First load: ${kb(first)} gzip of ${kb(BUDGET)}\n`);
if (first > BUDGET) process.exit(1);
