import { defineConfig } from "vitest/config";
import { runtimeFiles } from "./runtime_files.ts";

const root = import.meta.dirname;

export default defineConfig({
  root,
  base: "./", // works under any path
  plugins: [runtimeFiles()],
  worker: { format: "iife" }, // the runtime loads its glue with importScripts
  build: {
    outDir: "../nelf/view/assets",
    emptyOutDir: true,
    target: "es2022",
    assetsDir: "viewer",
    modulePreload: false,
    chunkSizeWarningLimit: 1000,
  },
  test: {
    projects: [
      { test: { name: "unit", root, include: ["tests/**/*.test.ts"], environment: "node" } },
      {
        test: {
          name: "browser",
          root,
          include: ["browser/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
