/** Which backends this browser has, the fastest first. */

import { BACKENDS, type Backend } from "./messages";

/** Names of GPUs that a CPU plays. */
export const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|software/i;

/** The backends to try in order; only `asked` where it is one of them. */
export async function candidates(asked: string | null): Promise<Backend[]> {
  const chosen = BACKENDS.find((backend) => backend === asked);
  if (chosen) return [chosen];
  const found: Backend[] = (await hasGpu()) ? ["webgpu"] : [];
  if (hasThreads()) found.push("threads");
  return [...found, "wasm"];
}

/** Several threads need shared memory, which a browser gives to isolated pages only (COOP and COEP headers). */
export function hasThreads(): boolean {
  return globalThis.crossOriginIsolated === true && navigator.hardwareConcurrency > 1;
}

/** Whether WebGPU runs on a GPU. Where a CPU plays one, WebAssembly is many times faster. */
async function hasGpu(): Promise<boolean> {
  const adapter = await navigator.gpu
    ?.requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  if (!adapter) return false;
  const { info } = adapter;
  return !(
    info.isFallbackAdapter || SOFTWARE.test([info.vendor, info.architecture, info.description].join(" "))
  );
}
