/** Puts LiteRT's WebAssembly beside the page: packed, so that a folder of all variants stays small. */

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** Without JSPI: it runs parts of a model on the CPU, and ours runs on WebGPU whole or not at all. */
const VARIANTS = ["litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal"];

const NOTICE = (version: string) => `The files in this folder are LiteRT.js ${version} (npm: @litertjs/core).
Copyright Google LLC. Licensed under the Apache License, Version 2.0;
a copy is at http://www.apache.org/licenses/LICENSE-2.0
`;

/** Version of LiteRT.js, and the folder of its files: another version lies in another one, so caches never mix two. */
function installed(): { wasm: string; version: string; folder: string } {
  const home = join(dirname(createRequire(import.meta.url).resolve("@litertjs/core")), "..");
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as { version: string };
  return { wasm: join(home, "wasm"), version, folder: `litert-${version}` };
}

export function runtimeFiles(): Plugin {
  return {
    name: "runtime-files",
    config: () => ({ define: { LITERT_FOLDER: JSON.stringify(installed().folder) } }),
    generateBundle() {
      const { wasm, version, folder } = installed();
      for (const name of readdirSync(wasm).filter((file) =>
        VARIANTS.includes(basename(file).split(".")[0]!),
      )) {
        const source = readFileSync(join(wasm, name));
        this.emitFile(
          name.endsWith(".wasm")
            ? { type: "asset", fileName: `${folder}/${name}.gz`, source: gzipSync(source, { level: 9 }) }
            : { type: "asset", fileName: `${folder}/${name}`, source },
        );
      }
      this.emitFile({ type: "asset", fileName: `${folder}/NOTICE.txt`, source: NOTICE(version) });
    },
  };
}
