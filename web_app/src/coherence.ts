/** What the schema cannot say of a manifest: whether its numbers fit together. nelf/export/coherence.py, in its order. */

import { columns, cross, dot, length, type Pose, type Vector, vector } from "./geometry";
import type { Manifest } from "./Manifest";
import { Refusal } from "./refusal";

const UNIT_TOLERANCE = 1e-3;
const RIGID_TOLERANCE = 1e-2;

/** The first thing in a manifest that cannot be. */
export function contradiction(manifest: Manifest): Refusal | undefined {
  for (const found of contradictions(manifest)) return found;
  return undefined;
}

function* contradictions(manifest: Manifest): Generator<Refusal> {
  const { image, camera, region, model } = manifest;
  const shapes: [string, readonly number[], number[]][] = [
    ["model.input.shape", model.input.shape, [1, 3, 4]],
    ["model.output.shape", model.output.shape, [1, image.height, image.width, image.channels]],
  ];
  for (const [where, shape, expected] of shapes) {
    if (String(shape) !== String(expected)) {
      yield new Refusal("shape_mismatch", `${where} is ${shape}, not ${expected}.`);
    }
  }
  if (image.alpha !== (image.channels === 4 ? "premultiplied" : "none")) {
    yield new Refusal("shape_mismatch", `image.alpha is ${image.alpha} with ${image.channels} channels.`);
  }
  const directions: [string, Vector][] = [["camera.up", vector(camera.up)]];
  if (region.type === "shell") {
    directions.push(["region.up", vector(region.up)], ["region.azimuth_zero", vector(region.azimuth_zero)]);
  }
  for (const [where, direction] of directions) {
    if (Math.abs(length(direction) - 1) > UNIT_TOLERANCE) {
      yield new Refusal("direction_not_unit", `${where} ${direction} has not length 1.`);
    }
  }
  if (region.type === "shell") {
    if (Math.abs(dot(vector(region.up), vector(region.azimuth_zero))) > UNIT_TOLERANCE) {
      yield new Refusal("direction_not_unit", "region.azimuth_zero is not at right angles to region.up.");
    }
  } else {
    for (const [where, pose] of [
      ["region.reference", region.reference] as const,
      ...numbered(region.cameras),
    ]) {
      if (!isRotation(pose)) yield new Refusal("rotation_invalid", `${where} is no rigid pose.`);
    }
  }
  if (camera.near >= camera.far) {
    yield new Refusal("range_empty", `camera.near ${camera.near} is not before camera.far ${camera.far}.`);
  }
  const ranges: [string, readonly [number, number]][] =
    region.type === "shell"
      ? [
          ["region.radius", region.radius],
          ["region.elevation", region.elevation],
        ]
      : region.low.map((low, i) => [`region low and high of axis ${i}`, [low, region.high[i]!]]);
  for (const [where, [low, high]] of ranges) {
    if (low > high) yield new Refusal("range_empty", `${where} are ${low} and ${high}.`);
  }
}

function numbered(cameras: readonly Pose[] = []): (readonly [string, Pose])[] {
  return cameras.map((pose, i) => [`region.cameras.${i}`, pose] as const);
}

function isRotation(pose: Pose): boolean {
  const rows = [0, 4, 8].map((i) => vector(pose.slice(i, i + 3)));
  const errors = rows.flatMap((a, i) => rows.map((b, j) => Math.abs(dot(a, b) - Number(i === j))));
  const [right, up, back] = columns(pose);
  return Math.max(...errors) < RIGID_TOLERANCE && dot(cross(right, up), back) > 0;
}
