import { defineConfig } from "vitest/config";
import { runtimeFiles } from "./runtime_files.ts";

const root = import.meta.dirname;

export default defineConfig({
  root,
  base: "./", // works under any path
  plugins: [runtimeFiles()],
  worker: { format: "iife" }, // the runtime loads its glue with importScripts
  build: {
    outDir: "../nelf/viewer/assets",
    emptyOutDir: true,
    target: "es2022",
    assetsDir: "viewer",
    modulePreload: false,
    chunkSizeWarningLimit: 1000,
  },
  test: {
    projects: [
      { test: { name: "unit", root, include: ["tests/**/*.test.ts"], environment: "node" } },
      { test: inBrowser("browser", "browser/**/*.test.ts") },
      { test: inBrowser("speed", "browser/**/*.speed.ts") },
      { test: inBrowser("turns", "browser/**/*.turns.ts") },
      { test: inBrowser("screenshots", "browser/**/*.shots.ts") },
    ],
  },
});

function inBrowser(name: string, files: string) {
  const [testTimeout, hookTimeout] = [90_000, 120_000];
  return {
    name,
    root,
    include: [files],
    environment: "node" as const,
    testTimeout,
    hookTimeout,
    fileParallelism: false,
  };
}
