/** Which backends this browser has, the likely fastest first, and why it lacks the others. */

import { BACKENDS, type Backend } from "./messages";

export const BACKEND_NAMES: Record<Backend, string> = {
  webgpu: "GPU (WebGPU)",
  threads: "CPU (WebAssembly, threads)",
  wasm: "CPU (WebAssembly, one thread)",
};

/** Names of GPUs that a CPU plays. */
export const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render|software/i;

/** A backend that was considered: what it takes, or why it is not used. */
export interface Attempt {
  backend: Backend;
  /** Median of a few pictures. */
  milliseconds?: number;
  /** Milliseconds that loading the model took, and then its first picture. */
  loaded?: number;
  first?: number;
  /** dB to the first golden view. */
  psnr?: number;
  reason?: string;
}

/** The backends to try, in order, and those that this browser lacks; only `asked` where it is one of them. */
export async function candidates(asked: string | null): Promise<{ usable: Backend[]; absent: Attempt[] }> {
  const chosen = BACKENDS.find((backend) => backend === asked);
  if (chosen) return { usable: [chosen], absent: [] };
  const missing = { webgpu: await noGpu(), threads: noThreads(), wasm: undefined };
  return {
    usable: BACKENDS.filter((backend) => !missing[backend]),
    absent: BACKENDS.flatMap((backend) => {
      const reason = missing[backend];
      return reason ? [{ backend, reason }] : [];
    }),
  };
}

/** Several threads need shared memory, which a browser gives to isolated pages only (COOP and COEP headers). */
export function noThreads(): string | undefined {
  if (globalThis.crossOriginIsolated !== true) return "the page is not isolated";
  return navigator.hardwareConcurrency > 1 ? undefined : "this device has one core";
}

/** Why WebGPU does not run on a GPU. Where a CPU plays one, WebAssembly is many times faster. */
async function noGpu(): Promise<string | undefined> {
  const adapter = await gpuAdapter();
  if (!adapter) return "this browser has no WebGPU here";
  const { info } = adapter;
  const software =
    info.isFallbackAdapter || SOFTWARE.test([info.vendor, info.architecture, info.description].join(" "));
  return software ? "a CPU plays the GPU here" : undefined;
}

export async function gpuAdapter(): Promise<GPUAdapter | null> {
  const asked = navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  return (await asked?.catch(() => null)) ?? null;
}
