/** What a bundle says about itself: read, checked, and refused with a code. docs/viewers.md has the rules in order. */

import { type Schema, Validator } from "@cfworker/json-schema";
import schema from "../../nelf/bundle/manifest.schema.json";
import { BundleError } from "./errors";
import { columns, cross, dot, length, type Pose, type Vector, vector } from "./geometry";
import { type TileProgram, tileContradictions } from "./tiles";

const MANIFEST = "manifest.json";
const FORMAT = "nelf-bundle";
const MAJORS = ["2", "3"];
const MOST_BYTES = 4 << 20; // of a manifest: 200 times what one has
const UNIT_TOLERANCE = 1e-3;
const RIGID_TOLERANCE = 1e-2;
/** Targets whose model a browser runs. */
const VIEWABLE = ["web", "android"];
const FORBIDDEN = /[\\:%\p{Cc}]/u;

type Four = readonly [number, number, number, number];
type Range = readonly [number, number];

export interface OrbitRegion {
  type: "orbit";
  center: readonly number[];
  up: readonly number[];
  radius: Range;
  elevation: Range;
  azimuth_zero: readonly number[];
  azimuth_start: number;
  azimuth_width: number;
}

export interface BoxRegion {
  type: "box";
  reference: Pose;
  low: readonly number[];
  high: readonly number[];
  angle: number;
  cameras?: readonly Pose[];
  max_distance?: number;
  max_angle?: number;
}

export type Region = OrbitRegion | BoxRegion;

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
  scene_type: "object" | "forward-facing" | "unbounded";
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
  region: Region;
  model: { path: string; input: Tensor; output: Tensor };
  files: readonly FileInfo[];
  golden: string;
  parity: { status: string; required_psnr?: number };
  student: { name: string; parameters: number; macs: number };
  program?: TileProgram;
}

/** The file that says which model it is: the only one, or with a program its largest. */
export function modelFile({ model, program }: Pick<Manifest, "model" | "program">): string {
  return program?.decoder ?? model.path;
}

/** The content of a bundle's file; null where there is none. `sha256`: of the version that is wanted, where one is known. */
export type Read = (path: string, sha256?: string) => Promise<Uint8Array<ArrayBuffer> | null>;

/** The manifest of a bundle. Throws a BundleError for anything but a valid one; the files themselves: `readFile`. */
export async function readManifest(read: Read): Promise<Manifest> {
  const bytes = await read(MANIFEST);
  if (!bytes) throw new BundleError("not_a_bundle", "There is no manifest.json here.");
  if (bytes.length > MOST_BYTES) {
    throw invalid(`manifest.json has ${bytes.length} bytes, more than ${MOST_BYTES}.`);
  }
  const content = parse(bytes);
  if (typeof content !== "object" || content?.format !== FORMAT) {
    throw new BundleError("not_a_bundle", `manifest.json is not that of a ${FORMAT}.`);
  }
  const { version } = content;
  if (typeof version === "string" && !MAJORS.includes(version.split(".")[0]!)) {
    throw new BundleError(
      "unsupported_version",
      `The bundle has format version ${version}, this viewer reads ${MAJORS.join(" and ")}.`,
    );
  }
  const wrong = violation(content);
  if (wrong) throw invalid(`manifest.json: ${wrong}`);
  const manifest = content as unknown as Manifest;
  for (const contradiction of contradictions(manifest)) throw invalid(`manifest.json: ${contradiction}.`);
  checkNames(manifest);
  return manifest;
}

function invalid(message: string): BundleError {
  return new BundleError("invalid_manifest", message);
}

/** The listed file `path`, its size and SHA-256 checked. */
export async function readFile(
  manifest: Manifest,
  path: string,
  read: Read,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = manifest.files.find((one) => one.path === path);
  if (!file) throw invalid(`manifest.json does not list the file ${path}.`);
  const bytes = await read(path, file.sha256);
  if (!bytes) throw new BundleError("damaged_file", `The file ${path} is missing.`);
  if (bytes.length !== file.bytes) {
    throw new BundleError(
      "damaged_file",
      `${path} has ${bytes.length} bytes, manifest.json says ${file.bytes}.`,
    );
  }
  if ((await sha256(bytes)) !== file.sha256) {
    throw new BundleError("damaged_file", `${path} was changed: its SHA-256 is not that of manifest.json.`);
  }
  return bytes;
}

/** `error`, or what explains it: the bundle has another manifest now, so it was exported again in between. */
export async function explained(error: unknown, manifest: Manifest, read: Read): Promise<unknown> {
  if (!(error instanceof BundleError) || error.code !== "damaged_file") return error;
  const now = await readManifest(read).catch(() => manifest);
  if (JSON.stringify(now.files) === JSON.stringify(manifest.files)) return error;
  const what = "The bundle was exported again while this page opened it.";
  return new BundleError("damaged_file", what, "Reload this page: it then opens the new one.");
}

function parse(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return JSON.parse(text, (key, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${key} is not finite`);
      return value;
    });
  } catch (error) {
    throw invalid(`manifest.json cannot be read (${(error as Error).message}).`);
  }
}

const VALIDATOR = new Validator(schema as Schema, "2020-12", false);
const CONTAINERS = ["$ref", "properties", "additionalProperties", "items", "prefixItems", "anyOf", "oneOf"];

/** The first thing in a manifest that does not fit the schema, with its place in front. */
function violation(content: object): string | undefined {
  const { errors } = VALIDATOR.validate(content);
  // Of a union, the variants that another `type` or `status` names say nothing about this one.
  const others = errors.flatMap(({ keywordLocation }) => {
    const variant = /^(.*\/oneOf\/\d+\/).*\/(type|status)\/const$/.exec(keywordLocation);
    return variant ? [variant[1]!] : [];
  });
  const found =
    errors.find(
      ({ keyword, keywordLocation }) =>
        !CONTAINERS.includes(keyword) && !others.some((variant) => keywordLocation.startsWith(variant)),
    ) ?? errors.at(-1);
  return (
    found && `${found.instanceLocation.slice(2).replaceAll("/", ".")}: ${found.error}`.replace(/^: /, "")
  );
}

/** What the schema cannot say of a manifest: the numbers that contradict each other. */
function* contradictions({ image, camera, region, model, program, version }: Manifest): Generator<string> {
  const expected = [1, image.height, image.width, image.channels];
  if (String(model.output.shape) !== String(expected)) {
    yield `model.output.shape is ${model.output.shape}, not ${expected}`;
  }
  if (image.alpha !== (image.channels === 4 ? "premultiplied" : "none")) {
    yield `image.alpha is ${image.alpha} with ${image.channels} channels`;
  }
  if (program) yield* tileContradictions(program, image);
  if (program && version.startsWith("2.")) yield `version is ${version}, and a program needs 3.0`;
  if (!isUnit(camera.up)) yield "camera.up does not have length 1";
  if (camera.near >= camera.far) yield `camera.near ${camera.near} is not below camera.far ${camera.far}`;
  if (region.type === "orbit") {
    const { up, azimuth_zero, radius, elevation } = region;
    if (!isUnit(up)) yield "region.up does not have length 1";
    if (!isUnit(azimuth_zero)) yield "region.azimuth_zero does not have length 1";
    if (Math.abs(dot(vector(up), vector(azimuth_zero))) > UNIT_TOLERANCE) {
      yield "region.azimuth_zero is not at right angles to region.up";
    }
    if (radius[0] > radius[1]) yield `region.radius has a range from ${radius[0]} to ${radius[1]}`;
    if (elevation[0] > elevation[1]) {
      yield `region.elevation has a range from ${elevation[0]} to ${elevation[1]}`;
    }
  } else {
    if (!isRigid(region.reference)) yield "region.reference is not a rigid pose";
    const camera = (region.cameras ?? []).findIndex((pose) => !isRigid(pose));
    if (camera >= 0) yield `region.cameras.${camera} is not a rigid pose`;
    const axis = region.low.findIndex((low, i) => low > region.high[i]!);
    if (axis >= 0) yield `region.low.${axis} is above region.high.${axis}`;
  }
}

function isUnit(direction: readonly number[]): boolean {
  return Math.abs(length(vector(direction)) - 1) <= UNIT_TOLERANCE;
}

function isRigid(pose: Pose): boolean {
  const rows: Vector[] = [0, 4, 8].map((i) => vector(pose.slice(i, i + 3)));
  const errors = rows.flatMap((a, i) => rows.map((b, j) => Math.abs(dot(a, b) - Number(i === j))));
  const [right, up, back] = columns(pose);
  return Math.max(...errors) < RIGID_TOLERANCE && dot(cross(right, up), back) > 0;
}

/** Why this viewer does not show a bundle that is fine. */
export function unsupported({ target, model: { output } }: Manifest): BundleError | undefined {
  if (!VIEWABLE.includes(target))
    return new BundleError("unsupported_target", `This bundle is for ${target}.`);
  if (output.dtype === "float32" && output.layout === "NHWC") return undefined;
  return new BundleError(
    "unsupported_target",
    `The model gives ${output.dtype} in the layout ${output.layout}.`,
  );
}

function checkNames(manifest: Manifest): void {
  const listed = manifest.files.map((file) => file.path);
  const { model, program, golden } = manifest;
  const needed = [model.path, ...(program ? [program.first, program.decoder] : []), golden];
  for (const name of [...listed, ...needed]) {
    if (!isPlain(name)) throw new BundleError("unsafe_path", `manifest.json names the file “${name}”.`);
  }
  const twice = listed.find((name, i) => listed.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`manifest.json lists the file ${twice} twice.`);
  for (const name of needed) {
    if (!listed.some((path) => path === name || path.startsWith(`${name}/`))) {
      throw invalid(`manifest.json does not list the file ${name} that it needs.`);
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
