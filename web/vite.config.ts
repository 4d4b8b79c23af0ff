import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import react from "@vitejs/plugin-react";
import { loadEnv, type Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The gateway's API page loads these from its own address, so the build carries them along.
function swaggerUi(): Plugin {
  let outDir = "dist";
  return {
    name: "swagger-ui-assets",
    apply: "build",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    async closeBundle() {
      const from = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
      const to = join(outDir, "vendor", "swagger-ui");
      await mkdir(to, { recursive: true });
      for (const file of ["swagger-ui-bundle.js", "swagger-ui.css", "LICENSE"]) {
        await copyFile(join(from, file), join(to, file));
      }
    },
  };
}

// A first visit loads two chunks: on a slow line every further request costs a round trip.
const CHUNKS = [
  { name: "vendor", test: /node_modules/, tags: ["$initial" as const] },
  { name: "first", tags: ["$initial" as const] },
];

export default defineConfig(({ mode }) => {
  const port = loadEnv(mode, process.cwd(), "FLOTILLA_")["FLOTILLA_HTTP_PORT"] ?? "8080";
  return {
    plugins: [react(), swaggerUi()],
    resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
    build: {
      manifest: true,
      target: "es2022",
      chunkSizeWarningLimit: 1_000,
      rolldownOptions: {
        output: { codeSplitting: { groups: CHUNKS } },
      },
    },
    server: {
      proxy: { "/api": { target: `http://127.0.0.1:${port}`, ws: true } },
    },
    test: {
      environment: "jsdom",
      include: ["src/**/*.test.{ts,tsx}"],
      setupFiles: ["src/testing/setup.ts"],
      testTimeout: 60_000,
      restoreMocks: true,
      unstubGlobals: true,
    },
  };
});
