/** What a bundle says about itself: read, checked, and refused with a code. docs/viewers.md has the rules in order. */

import schema from "../../nelf/export/manifest.schema.json";
import { contradiction } from "./coherence";
import type { Pose } from "./geometry";
import { Refusal } from "./refusal";
import { isObject, type Json, type Schema, violation } from "./schema";

const MANIFEST = "manifest.json";
const FORMAT = "nelf-bundle";
const MAJOR = "1";
const MOST_BYTES = 4 << 20; // of a manifest: 200 times what one has
const MOST_LEVELS = 64; // of objects and lists inside each other: ten times what one has
/** Targets whose model a browser runs. */
const VIEWABLE = ["web", "android"];
const FORBIDDEN = /[\\:%\p{Cc}]/u;

type Four = readonly [number, number, number, number];
type Range = readonly [number, number];

export interface Shell {
  type: "shell";
  center: readonly number[];
  up: readonly number[];
  radius: Range;
  elevation: Range;
  azimuth_zero: readonly number[];
  azimuth_start: number;
  azimuth_width: number;
}

export interface Box {
  type: "box";
  reference: Pose;
  low: readonly number[];
  high: readonly number[];
  angle: number;
  cameras?: readonly Pose[];
  reach?: number;
  turn?: number;
}

export interface Tensor {
  name: string;
  shape: readonly number[];
  dtype: string;
  layout: string;
}

export interface FileInfo {
  path: string;
  role: "model" | "golden" | "page";
  bytes: number;
  sha256: string;
}

/** The fields that this viewer uses, by the names of the schema. */
export interface Manifest {
  name: string;
  kind: "object" | "forward-facing" | "unbounded";
  version: string;
  target: string;
  precision: string;
  image: {
    width: number;
    height: number;
    channels: 3 | 4;
    alpha: string;
    background: readonly [number, number, number];
  };
  camera: { intrinsics: Four; near: number; far: number; up: readonly number[]; focus: readonly number[] };
  region: Shell | Box;
  model: { path: string; input: Tensor; output: Tensor };
  files: readonly FileInfo[];
  golden: string;
  parity: { status: string; required_psnr?: number };
  student: { name: string; parameters: number; macs: number };
}

/** The content of a bundle's file; null where there is none. */
export type Read = (path: string) => Promise<Uint8Array<ArrayBuffer> | null>;

/** The manifest of a bundle. Throws a Refusal for anything but a valid one; the files themselves: `readFile`. */
export async function readManifest(read: Read): Promise<Manifest> {
  const bytes = await read(MANIFEST);
  if (!bytes) throw new Refusal("manifest_missing", "There is no manifest.json here.");
  if (bytes.length > MOST_BYTES) {
    throw new Refusal(
      "manifest_too_large",
      `manifest.json has ${bytes.length} bytes, more than ${MOST_BYTES}.`,
    );
  }
  const content = parse(bytes);
  if (!isObject(content) || content.format !== FORMAT) {
    throw new Refusal("not_a_bundle", `manifest.json is not that of a ${FORMAT}.`);
  }
  const { version } = content;
  if (typeof version === "string" && version.split(".")[0] !== MAJOR) {
    throw new Refusal(
      "version_unknown",
      `The bundle has format version ${version}, this viewer reads ${MAJOR}.x.`,
    );
  }
  const wrong = violation(content, schema as Schema);
  if (wrong) throw new Refusal("manifest_invalid", `manifest.json: ${wrong}.`);
  const manifest = content as unknown as Manifest;
  const contradicted = contradiction(manifest);
  if (contradicted) throw contradicted;
  checkNames(manifest);
  return manifest;
}

/** The listed file `path`, its size and SHA-256 checked. */
export async function readFile(
  manifest: Manifest,
  path: string,
  read: Read,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = manifest.files.find((one) => one.path === path);
  if (!file) throw new Refusal("file_unlisted", `manifest.json does not list the file ${path}.`);
  const bytes = await read(path);
  if (!bytes) throw new Refusal("file_missing", `The file ${path} is missing.`);
  if (bytes.length !== file.bytes) {
    throw new Refusal("file_size", `${path} has ${bytes.length} bytes, manifest.json says ${file.bytes}.`);
  }
  if ((await sha256(bytes)) !== file.sha256) {
    throw new Refusal("file_changed", `${path} was changed: its SHA-256 is not that of manifest.json.`);
  }
  return bytes;
}

function parse(bytes: Uint8Array): Json {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (levels(text) > MOST_LEVELS) throw new RangeError(`nested deeper than ${MOST_LEVELS}`);
    return JSON.parse(text, (key, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${key} is not finite`);
      return value;
    }) as Json;
  } catch (error) {
    throw new Refusal("manifest_unreadable", `manifest.json cannot be read (${(error as Error).message}).`);
  }
}

/** How many objects and lists are open at once in a JSON text, at most. */
function levels(text: string): number {
  let [open, most] = [0, 0];
  for (const [found] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (found === "[" || found === "{") most = Math.max(most, ++open);
    else if (found === "]" || found === "}") open--;
  }
  return most;
}

/** Why this viewer does not show a bundle that is all right. */
export function unsupported({ target, model: { output } }: Manifest): Refusal | undefined {
  if (!VIEWABLE.includes(target)) return new Refusal("target_unsupported", `This bundle is for ${target}.`);
  if (output.dtype === "float32" && output.layout === "NHWC") return undefined;
  return new Refusal("output_unsupported", `The model gives ${output.dtype} in the layout ${output.layout}.`);
}

function checkNames(manifest: Manifest): void {
  const listed = manifest.files.map((file) => file.path);
  for (const name of [...listed, manifest.model.path, manifest.golden]) {
    if (!isPlain(name)) throw new Refusal("path_outside", `manifest.json names the file “${name}”.`);
  }
  const twice = listed.find((name, i) => listed.indexOf(name) !== i);
  if (twice !== undefined) throw new Refusal("file_twice", `manifest.json lists the file ${twice} twice.`);
  for (const name of [manifest.model.path, manifest.golden]) {
    if (!listed.some((path) => path === name || path.startsWith(`${name}/`))) {
      throw new Refusal("file_unlisted", `manifest.json does not list the file ${name} that it needs.`);
    }
  }
}

/** Whether a name means the same file, inside the bundle, on every system and in a URL. */
export function isPlain(name: string): boolean {
  return !FORBIDDEN.test(name) && name.split("/").every((part) => !["", ".", ".."].includes(part));
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
