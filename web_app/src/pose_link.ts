/** Links to a view: `#pose=DIGEST,numbers`. The digest is the model's, so a link knows whether it is still the same. */

import type { Manifest } from "./Manifest";

const DIGITS = 5;

export interface PoseLink {
  /** Whether it was made for this very model. */
  current: boolean;
  state: readonly number[];
}

export function poseHash(manifest: Manifest, state: readonly number[]): string {
  return `#pose=${digest(manifest)},${state.map((value) => Number(value.toFixed(DIGITS))).join(",")}`;
}

/** What a URL's hash says; undefined where it says no pose. */
export function readHash(manifest: Manifest, hash: string): PoseLink | undefined {
  const [version, ...numbers] = /^#pose=(.+)$/.exec(hash)?.[1]?.split(",") ?? [];
  if (version === undefined || numbers.length === 0) return undefined;
  return { current: version === digest(manifest), state: numbers.map(Number) };
}

function digest(manifest: Manifest): string {
  const { path } = manifest.model;
  return manifest.files
    .find((file) => file.path === path || file.path.startsWith(`${path}/`))!
    .sha256.slice(0, 8);
}
