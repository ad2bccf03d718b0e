/** Runs the model beside the page: LiteRT.js in a worker of its own, one request at a time. */

import { type CompiledModel, loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";
import type { Answer, Load, Request, Run } from "./messages";
import { type Part, TileRenderer } from "./tiles";

interface EmscriptenModule {
  locateFile: (name: string) => string;
  mainScriptUrlOrBlob: string | Blob;
  instantiateWasm: (imports: WebAssembly.Imports, done: Instantiated) => void;
  print: (line: string) => void;
  printErr: (line: string) => void;
}

type Instantiated = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;

interface Scope {
  Module: EmscriptenModule | undefined;
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage: (message: Answer, transfer?: Transferable[]) => void;
}

const scope = self as unknown as Scope;
/** First byte of a gzip file; WebAssembly begins with 0. */
const GZIP = 0x1f;

let model: CompiledModel | undefined;
let tiles: TileRenderer | undefined;
let shape: readonly number[] = [];
let output = "";
let complaints: string[] = [];

scope.onmessage = async ({ data }) => {
  try {
    if (data.type === "load") await load(data);
    else await run(data);
  } catch (error) {
    const said = complaints.filter((line) => line.includes("ERROR")).at(-1);
    complaints = [];
    answer({
      type: "failed",
      reason: [(error as Error).message ?? String(error), said].filter(Boolean).join("; "),
    });
  }
};

function answer(message: Answer, transfer: Transferable[] = []): void {
  scope.postMessage(message, transfer);
}

async function load(request: Load): Promise<void> {
  const name = await variant(request);
  const script = new URL(`${name}.js`, request.runtime).href;
  const packed = new URL(`${name}.wasm.gz`, request.runtime).href;
  let failed: (error: unknown) => void = () => undefined;
  const trouble = new Promise<never>((_, reject) => {
    failed = reject;
  });
  scope.Module = {
    locateFile: (file) => new URL(file, request.runtime).href,
    mainScriptUrlOrBlob: request.backend === "threads" ? await forThreads(script) : script,
    instantiateWasm: (imports, done) => {
      unpacked(packed, LITERT_BYTES[`${name}.wasm`]!)
        .then((wasm) => WebAssembly.instantiateStreaming(wasm, imports))
        .then(({ instance, module }) => done(instance, module))
        .catch(failed);
    },
    // LiteRT tells much, and all of it as errors; what matters is told with the exception.
    print: () => undefined,
    printErr: (line) => complaints.push(line),
  };
  await Promise.race([loadLiteRt(script), trouble]);
  model = await compiled(request.model, request);
  if (request.tiles) {
    const { program, picture, decoder } = request.tiles;
    tiles = new TileRenderer(program, picture, partOf(model), partOf(await compiled(decoder, request)));
    complaints = [];
    answer({ type: "ready", files: [script, packed] });
    return;
  }
  shape = request.input.shape;
  output = request.output.name;
  const given = model.getOutputDetails().find((one) => one.name === output);
  if (!given || String([...given.shape]) !== String(request.output.shape)) {
    const found = model.getOutputDetails().map((one) => `${one.name} [${[...one.shape]}]`);
    throw new Error(`the model gives ${found}, manifest.json says ${output} [${request.output.shape}]`);
  }
  complaints = [];
  answer({ type: "ready", files: [script, packed] });
}

async function compiled(bytes: Uint8Array<ArrayBuffer>, { backend, threads }: Load): Promise<CompiledModel> {
  const one = await loadAndCompile(bytes, {
    accelerator: backend === "webgpu" ? "webgpu" : "wasm",
    cpuOptions: { numThreads: threads },
    // Sines of large angles are in the model: half precision would give noise.
    gpuOptions: { precision: "fp32" },
  });
  if (backend === "webgpu" && !one.isFullyAccelerated) {
    throw new Error("WebGPU cannot run every operation of this model");
  }
  return one;
}

/** First of a file's signatures; a number follows in the names of others. */
const SIGNATURE = "serving_default";

/** A part of a program: values in and out by name. */
function partOf(one: CompiledModel): Part {
  return async (inputs, signature) => {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([name, [values, size]]) => [name, new Tensor(values, size)]),
    );
    const results = await one.run(signature ? `${SIGNATURE}_${signature}` : SIGNATURE, tensors);
    const found: Record<string, Float32Array> = {};
    for (const [name, tensor] of Object.entries(results)) found[name] = (await tensor.data()) as Float32Array;
    for (const tensor of [...Object.values(tensors), ...Object.values(results)]) tensor.delete();
    return found;
  };
}

async function variant({ backend }: Load): Promise<string> {
  if (backend === "threads") return "litert_wasm_threaded_internal";
  return (await supportsFeature("relaxedSimd")) ? "litert_wasm_internal" : "litert_wasm_compat_internal";
}

/**
 * The script of the threads, here: where a certificate was only clicked through, Chromium (156) drops one in ten requests of
 * a worker's workers without an error, and the runtime would wait for that thread forever.
 */
async function forThreads(script: string): Promise<Blob> {
  const response = await fetch(script);
  if (!response.ok) throw new Error(`${script} cannot be loaded (${response.status})`);
  return new Blob([await response.blob()], { type: "text/javascript" });
}

/**
 * The WebAssembly at `url`, compiled while it arrives: a gzip file, unless the host sends what is in it. `size`: of the
 * WebAssembly, in bytes; a host tells how much it sends instead.
 */
async function unpacked(url: string, size: number): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new Error(`${url} cannot be loaded (${response.status})`);
  const reader = response.body.getReader();
  let part = await reader.read();
  const packed = part.value?.[0] === GZIP;
  const arriving = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (part.done) return controller.close();
      controller.enqueue(part.value);
      part = await reader.read();
    },
  });
  const total = Number(response.headers.get("content-length") ?? size);
  let bytes = 0;
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      bytes += chunk.length;
      answer({ type: "progress", bytes: (bytes / size) * total, total });
      controller.enqueue(chunk);
    },
  });
  const binary = packed ? arriving.pipeThrough(new DecompressionStream("gzip")) : arriving;
  return new Response(binary.pipeThrough(counted), { headers: { "content-type": "application/wasm" } });
}

async function run(request: Run): Promise<void> {
  if (!model) throw new Error("no model is loaded");
  const start = performance.now();
  const values = tiles ? await tiles.render(request.pose) : await valuesOf(model, request.pose);
  const milliseconds = performance.now() - start;
  if (!request.pixels) {
    answer({ type: "values", values }, [values.buffer]);
    return;
  }
  toPixels(values, request.pixels);
  answer({ type: "picture", pixels: request.pixels, milliseconds }, [request.pixels.buffer]);
}

async function valuesOf(one: CompiledModel, pose: Float32Array): Promise<Float32Array<ArrayBuffer>> {
  const input = new Tensor(pose, [...shape]);
  const results = await one.run(input);
  const values = (await results[0]!.data()) as Float32Array<ArrayBuffer>;
  for (const tensor of [input, ...results]) tensor.delete();
  return values;
}

/**
 * Values of 0 to 1, three or four a pixel, as RGBA of 8 bits. Colour that is multiplied by alpha is at most alpha, and
 * canvases hold no other; networks overshoot.
 */
function toPixels(values: Float32Array, pixels: Uint8ClampedArray): void {
  if (values.length === pixels.length) {
    for (let i = 0; i < values.length; i += 4) {
      const alpha = Math.min(values[i + 3]!, 1);
      pixels[i] = Math.min(values[i]!, alpha) * 255;
      pixels[i + 1] = Math.min(values[i + 1]!, alpha) * 255;
      pixels[i + 2] = Math.min(values[i + 2]!, alpha) * 255;
      pixels[i + 3] = alpha * 255;
    }
    return;
  }
  for (let from = 0, to = 0; from < values.length; from += 3, to += 4) {
    pixels[to] = values[from]! * 255;
    pixels[to + 1] = values[from + 1]! * 255;
    pixels[to + 2] = values[from + 2]! * 255;
    pixels[to + 3] = 255;
  }
}
