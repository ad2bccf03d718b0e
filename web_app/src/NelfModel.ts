/** The model of a bundle, loaded on one backend: pose in, picture out. Buffers go back and forth, none is made twice. */

import { BundleError } from "./errors";
import type { Pose } from "./geometry";
import type { Manifest } from "./Manifest";
import type { Answer, Backend, Picture, Request, Tiles } from "./messages";
import WORKER from "./model.worker.ts?worker&url";

/** Of the viewer's own files, the one that the page does not name. */
export const WORKER_URL = new URL(WORKER, import.meta.url).href;

const LONGEST_LOAD = 60_000; // ms; after that a backend counts as not working
const MOST_THREADS = 4; // more are the small cores of a phone, which the others would wait for

interface Waiting {
  resolve: (answer: Answer) => void;
  reject: (error: BundleError) => void;
}

export class NelfModel {
  readonly threads: number;
  /** URLs of the runtime's files that it uses. */
  files: readonly string[] = [];
  private waiting: Waiting | undefined;
  private free: Uint8ClampedArray<ArrayBuffer> | undefined;

  private constructor(
    private readonly worker: Worker,
    private readonly manifest: Manifest,
    readonly backend: Backend,
    private readonly arrived: (bytes: number, total: number) => void,
  ) {
    this.threads = backend === "threads" ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.settle(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.settle({ type: "failed", reason: event.message || "the worker could not be started" });
    };
  }

  /**
   * Start the runtime in `runtime` (a URL) and load the model into it. `arrived`: so many bytes of the runtime are here.
   * `decoder`: of a bundle with a program, whose first part `bytes` are.
   * Throws a BundleError.
   */
  static async load(
    manifest: Manifest,
    bytes: Uint8Array<ArrayBuffer>,
    backend: Backend,
    runtime: string,
    arrived: (bytes: number, total: number) => void = () => undefined,
    decoder?: Uint8Array<ArrayBuffer>,
  ): Promise<NelfModel> {
    const worker = new Worker(WORKER_URL, { name: `nelf ${backend}` });
    const model = new NelfModel(worker, manifest, backend, arrived);
    const { input, output } = manifest.model;
    const timer = setTimeout(() => {
      model.settle({ type: "failed", reason: `no answer within ${LONGEST_LOAD / 1000} seconds` });
    }, LONGEST_LOAD);
    try {
      const message = {
        type: "load",
        backend,
        threads: model.threads,
        runtime,
        model: bytes,
        input,
        output,
        tiles: tilesOf(manifest, decoder),
      } as const;
      model.files = (await model.ask(message, "ready")).files;
      return model;
    } catch (error) {
      model.release();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The picture at a pose. One call at a time; give the picture back with `reuse` when another is shown. */
  async run(pose: Pose): Promise<Picture> {
    const { width, height } = this.manifest.image;
    const pixels = this.free ?? new Uint8ClampedArray(width * height * 4);
    this.free = undefined;
    return this.ask({ type: "run", pose: Float32Array.from(pose), pixels }, "picture", [pixels.buffer]);
  }

  /** The model's values at a pose, as they are: height, width, channels. */
  async values(pose: Pose): Promise<Float32Array> {
    return (await this.ask({ type: "run", pose: Float32Array.from(pose) }, "values")).values;
  }

  /** Take a picture's memory back. */
  reuse(picture: Picture): void {
    this.free = picture.pixels;
  }

  release(): void {
    this.worker.terminate();
    this.settle({ type: "failed", reason: "the model was released" });
  }

  private async ask<T extends Answer["type"]>(
    request: Request,
    expected: T,
    transfer: Transferable[] = [],
  ): Promise<Extract<Answer, { type: T }>> {
    if (this.waiting) throw new Error("the model is busy: one request at a time");
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.worker.postMessage(request, transfer);
    });
    if (answer.type !== expected) throw new Error(`asked for ${expected}, got ${answer.type}`);
    return answer as Extract<Answer, { type: T }>;
  }

  private settle(answer: Answer): void {
    if (answer.type === "progress") {
      this.arrived(answer.bytes, answer.total);
      return;
    }
    const waiting = this.waiting;
    this.waiting = undefined;
    if (answer.type === "failed")
      waiting?.reject(new BundleError("runtime_failed", `LiteRT: ${answer.reason}.`));
    else waiting?.resolve(answer);
  }
}

function tilesOf(
  { program, image, camera }: Manifest,
  decoder: Uint8Array<ArrayBuffer> | undefined,
): Tiles | undefined {
  if (!program || !decoder) return undefined;
  const { width, height, channels } = image;
  return { program, decoder, picture: { width, height, channels, intrinsics: camera.intrinsics } };
}
