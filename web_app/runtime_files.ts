/**
 * Puts LiteRT's WebAssembly beside the page: in gzip, so that a folder of all variants stays small and any host of files can
 * give it, and in Brotli, a fifth less, for servers that ask the browser what it unpacks (`nelf view`).
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { minifySync, type Plugin } from "vite";

/** Without JSPI: it runs parts of a model on the CPU, and ours runs on WebGPU whole or not at all. */
const VARIANTS = ["litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal"];
/** Of Brotli: the levels above save another tenth, and take ten times as long. */
const QUALITY = 9;

const NOTICE = (
  version: string,
) => `The files in this folder are LiteRT.js ${version} (npm: @litertjs/core), minified.
Copyright Google LLC. Licensed under the Apache License, Version 2.0;
a copy is at http://www.apache.org/licenses/LICENSE-2.0
`;

/** LiteRT.js: its files, and the folder for them: another version lies in another one, so caches never mix two. */
function installed(): { wasm: string; version: string; folder: string; files: string[] } {
  const home = join(dirname(createRequire(import.meta.url).resolve("@litertjs/core")), "..");
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as { version: string };
  const wasm = join(home, "wasm");
  const files = readdirSync(wasm).filter((file) => VARIANTS.includes(basename(file).split(".")[0]!));
  return { wasm, version, folder: `litert-${version}`, files };
}

function sizes(): Record<string, number> {
  const { wasm, files } = installed();
  const binaries = files.filter((name) => name.endsWith(".wasm"));
  return Object.fromEntries(binaries.map((name) => [name, statSync(join(wasm, name)).size]));
}

function brotli(source: Buffer): Buffer {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;
  const params = {
    [BROTLI_PARAM_QUALITY]: QUALITY,
    [BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [BROTLI_PARAM_SIZE_HINT]: source.length,
  };
  return brotliCompressSync(source, { params });
}

export function runtimeFiles(): Plugin {
  return {
    name: "runtime-files",
    config: () => ({
      define: {
        LITERT_FOLDER: JSON.stringify(installed().folder),
        LITERT_BYTES: JSON.stringify(sizes()),
      },
    }),
    generateBundle() {
      const { wasm, version, folder, files } = installed();
      const emit = (fileName: string, source: string | Uint8Array) =>
        this.emitFile({ type: "asset", fileName: `${folder}/${fileName}`, source });
      for (const name of files) {
        const source = readFileSync(join(wasm, name));
        if (name.endsWith(".wasm")) {
          emit(`${name}.gz`, gzipSync(source, { level: 9 }));
          emit(`${name}.br`, brotli(source));
        } else {
          emit(name, minifySync(name, source.toString(), { module: false }).code);
        }
      }
      emit("NOTICE.txt", NOTICE(version));
    },
  };
}
