/** Backends by measurement: the first that is right shows the scene; then the others run a few pictures too. */

import { type Attempt, BACKEND_NAMES, candidates } from "./backends";
import { BundleError } from "./errors";
import { FrameTimes } from "./FrameTimes";
import { compareView, type GoldenView } from "./golden";
import { type Manifest, modelFile, type Read, readFile } from "./Manifest";
import type { Backend } from "./messages";
import { NelfModel } from "./NelfModel";
import { HERE } from "./site";
import type { Viewer } from "./Viewer";

const WARM_UP = 2; // pictures
const PICTURES = 5;
/** Share of the time that another backend may take at most: a change costs a moment, and measurements scatter. */
const FASTER = 0.9;

const RUNTIME = new URL(`./${LITERT_FOLDER}/`, HERE).href;

/** What a backend is given. */
export interface Source {
  manifest: Manifest;
  views: readonly GoldenView[];
  read: Read;
  /** Bytes of the runtime that are here, of how many. */
  arrived: (bytes: number, total: number) => void;
}

export interface Choice {
  model: NelfModel;
  /** Every backend that was considered; the chosen one has a PSNR. */
  attempts: Attempt[];
  /** Backends that were not tried yet. */
  left: Backend[];
  /** The model file, or with a program its first part. */
  bytes: Uint8Array<ArrayBuffer>;
  decoder: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * The model on the first backend that gives the right picture. `memory`: the one that won here before goes first, and
 * nothing is measured again.
 */
export async function firstRight(source: Source, asked: string | null, memory = true): Promise<Choice> {
  if (typeof WebAssembly === "undefined") {
    throw new BundleError("runtime_failed", "This browser has no WebAssembly.");
  }
  const { manifest, read } = source;
  const { program, model: one } = manifest;
  const bytes = await readFile(manifest, program?.first ?? one.path, read);
  const decoder = program && (await readFile(manifest, program.decoder, read));
  const { usable, absent } = await candidates(asked);
  const attempts = [...absent];
  const won = asked || !memory ? undefined : remembered(manifest);
  const order = usable.toSorted((a, b) => Number(b === won?.backend) - Number(a === won?.backend));
  for (const [i, backend] of order.entries()) {
    const { model, attempt } = await tried(source, { bytes, decoder }, backend);
    attempts.push(attempt);
    if (!model) continue;
    const known = won?.backend === backend ? won.attempts : undefined;
    return { model, attempts: known ?? attempts, left: known ? [] : order.slice(i + 1), bytes, decoder };
  }
  const said = attempts.map((one) => `${BACKEND_NAMES[one.backend]}: ${one.reason}.`);
  throw new BundleError("runtime_failed", said.join(" "));
}

/**
 * Let the backends that are left run a few pictures, and go on with the fastest. It stops early where `wanted` says so:
 * somebody moves the picture. Returns whether all were measured.
 */
export async function measureOthers(
  choice: Choice,
  source: Source,
  viewer: Viewer,
  wanted: () => boolean,
): Promise<boolean> {
  const { manifest, views } = source;
  const pose = views[0]!.c2w;
  const mine = choice.attempts.find((one) => one.backend === choice.model.backend)!;
  if (mine.milliseconds !== undefined) return true; // at an earlier visit
  mine.milliseconds = await viewer.alone(() => timed(viewer.model, pose));
  while (choice.left.length > 0) {
    if (!wanted()) return false;
    const { model, attempt } = await tried(source, choice, choice.left.shift()!);
    choice.attempts.push(attempt);
    if (!model) continue;
    attempt.milliseconds = await viewer.alone(() => timed(model, pose));
    const best = choice.attempts.find((one) => one.backend === viewer.model.backend)!;
    if (attempt.milliseconds < FASTER * best.milliseconds!) await viewer.use(model);
    else model.release();
  }
  remember(manifest, viewer.model.backend, choice.attempts);
  return true;
}

async function tried(
  { manifest, views, read, arrived }: Source,
  { bytes, decoder }: Pick<Choice, "bytes" | "decoder">,
  backend: Backend,
): Promise<{ model?: NelfModel; attempt: Attempt }> {
  try {
    const start = performance.now();
    const model = await NelfModel.load(manifest, bytes, backend, RUNTIME, arrived, decoder);
    const loaded = performance.now() - start;
    const { psnr, required, milliseconds: first } = await compareView(model, views[0]!, manifest, read);
    const attempt: Attempt = { backend, psnr, loaded, first };
    if (psnr >= required) return { model, attempt };
    model.release();
    return { attempt: { ...attempt, reason: `gives a wrong picture (${psnr.toFixed(1)} dB)` } };
  } catch (error) {
    if (!(error instanceof BundleError) || error.code !== "runtime_failed") throw error;
    return { attempt: { backend, reason: error.message.replace(/\.$/, "") } };
  }
}

async function timed(model: NelfModel, pose: readonly number[]): Promise<number> {
  const times = new FrameTimes();
  for (let i = 0; i < WARM_UP + PICTURES; i++) {
    const picture = await model.run(pose);
    if (i >= WARM_UP) times.add(picture.milliseconds);
    model.reuse(picture);
  }
  return times.median;
}

interface Memory {
  browser: string;
  backend: Backend;
  attempts: Attempt[];
}

function key(manifest: Manifest): string {
  return `nelf backend ${manifest.files.find((file) => file.path === modelFile(manifest))?.sha256}`;
}

/** What won with this model in this browser; another version of it is measured anew. */
function remembered(manifest: Manifest): Memory | undefined {
  try {
    const memory = JSON.parse(localStorage.getItem(key(manifest)) ?? "null") as Memory | null;
    return memory?.browser === navigator.userAgent ? memory : undefined;
  } catch {
    return undefined; // no storage here, or not ours
  }
}

function remember(manifest: Manifest, backend: Backend, attempts: Attempt[]): void {
  try {
    const memory: Memory = { browser: navigator.userAgent, backend, attempts };
    localStorage.setItem(key(manifest), JSON.stringify(memory));
  } catch {
    return; // no storage: it is measured again next time
  }
}
