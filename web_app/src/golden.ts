/** Golden views: a few poses with the image that PyTorch gives there. The viewer compares its own with them. */

import { BundleError } from "./errors";
import type { Pose } from "./geometry";
import { isPlain, type Manifest, type Read, readFile } from "./Manifest";
import type { NelfModel } from "./NelfModel";

/** dB that each view must reach. Rounding to 8 bits alone leaves about 59; the sines of some GPUs cost 15. */
const REQUIRED_PSNR = 40;
const ROUNDING = 0.5 / 255; // largest error of a value stored in 8 bits
const EXACT = 150;

export interface GoldenView {
  name: string;
  c2w: Pose;
  /** Path in the bundle. */
  image: string;
}

export interface Comparison {
  view: string;
  psnr: number;
  /** What `psnr` must reach. */
  required: number;
  /** Of the model's answer. */
  milliseconds: number;
}

/**
 * dB that each view must reach. A quantised file is farther from PyTorch than the sines of a GPU: where its export was
 * held to less than is asked for here, that is asked for, widened for the rounding of golden images to 8 bits.
 */
export function requiredPsnr({ parity, program }: Pick<Manifest, "parity" | "program">): number {
  const limit = program?.required_psnr ?? parity.required_psnr ?? Number.POSITIVE_INFINITY;
  return Math.min(REQUIRED_PSNR, -20 * Math.log10(10 ** (-limit / 20) + ROUNDING));
}

/** The golden views that a bundle lists. */
export async function readGolden(manifest: Manifest, read: Read): Promise<GoldenView[]> {
  const bytes = await readFile(manifest, manifest.golden, read);
  const views = parse(bytes, manifest.golden);
  const unsafe = views.find(({ image }) => !isPlain(image));
  if (unsafe) {
    throw new BundleError("unsafe_path", `${manifest.golden} names the file “${unsafe.image}”.`);
  }
  return views;
}

function parse(bytes: Uint8Array, path: string): GoldenView[] {
  try {
    const { views } = JSON.parse(new TextDecoder().decode(bytes)) as {
      views: { name: string; c2w: number[][]; image: string }[];
    };
    if (views.length === 0) throw new Error("it lists no views");
    return views.map(({ name, c2w, image }) => {
      const pose = c2w.flat();
      if (pose.length !== 12 || !pose.every(Number.isFinite)) throw new Error(`view ${name} has no pose`);
      return { name: String(name), c2w: pose, image: String(image) };
    });
  } catch (error) {
    throw new BundleError("damaged_file", `${path} cannot be read (${(error as Error).message}).`);
  }
}

/** How near the model comes to one golden view. */
export async function compareView(
  model: NelfModel,
  view: GoldenView,
  manifest: Manifest,
  read: Read,
): Promise<Comparison> {
  const { width, height, channels } = manifest.image;
  const image = await readFile(manifest, view.image, read);
  if (image.length !== width * height * channels) {
    throw new BundleError(
      "damaged_file",
      `${view.image} does not have ${width} x ${height} x ${channels} bytes.`,
    );
  }
  const start = performance.now();
  const values = await model.values(view.c2w);
  const milliseconds = performance.now() - start;
  return { view: view.name, psnr: psnr(values, image), required: requiredPsnr(manifest), milliseconds };
}

/** dB with peak 1 between values of 0 to 1 and an 8-bit image; values that are no numbers count as the worst. */
export function psnr(values: Float32Array, image: Uint8Array): number {
  if (values.length !== image.length) return 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(values[i]! - image[i]! / 255);
    sum += Number.isFinite(error) ? error * error : 1;
  }
  return sum === 0 ? EXACT : Math.min(EXACT, 10 * Math.log10(values.length / sum));
}
