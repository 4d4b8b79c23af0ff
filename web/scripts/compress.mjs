// Writes a brotli and a gzip variant beside every file of the build that gets smaller by them.
// The gateway serves the variant that a browser accepts.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const TEXT = new Set([".css", ".html", ".js", ".json", ".map", ".svg", ".txt"]);
const MIN_SIZE = 500; // bytes; below, the headers outweigh what is saved
const dist = fileURLToPath(new URL("../dist/", import.meta.url));

async function compress(file) {
  const bytes = await readFile(file);
  if (bytes.length < MIN_SIZE) return;
  const variants = {
    br: await promisify(brotliCompress)(bytes, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
    gz: await promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION }),
  };
  for (const [suffix, compressed] of Object.entries(variants)) {
    if (compressed.length < bytes.length) await writeFile(`${file}.${suffix}`, compressed);
  }
}

const entries = await readdir(dist, { recursive: true, withFileTypes: true });
const files = entries
  .filter((entry) => entry.isFile() && TEXT.has(extname(entry.name)))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((file) => !file.includes("/.vite/"));
await Promise.all(files.map(compress));
