/**
 * Turns the last picture to a later pose, for machines on which the network is slower than the screen.
 *
 * Exact for what lies on the plane through the focus that faces the picture's camera, and near enough for the moment
 * until the network's own picture arrives.
 */

import { add, columns, dot, type Pose, type Vector } from "./geometry";

/** fx, fy, cx, cy in pixels. */
export type Intrinsics = readonly [number, number, number, number];

/**
 * Homography, column by column as WebGL wants it, from a pixel (x, y, 1) seen at `to` to that of the picture taken at
 * `from`. With E the eyes, R the rotations, n the plane's normal, F a point of it and d a ray's direction,
 * X - E_from = (n . (E_to - F)) d - (n . d) (E_to - E_from) up to scale.
 */
export function warp(from: Pose, to: Pose, focus: Vector, [fx, fy, cx, cy]: Intrinsics): number[] {
  const [right, up, back, eye] = columns(from);
  const [right2, up2, back2, eye2] = columns(to);
  const depth = dot(back, add(eye2, focus, -1));
  const between = add(eye2, eye, -1);
  const column = (direction: Vector): Vector => {
    const along = add(
      [depth * direction[0], depth * direction[1], depth * direction[2]],
      between,
      -dot(back, direction),
    );
    // OpenGL looks along -z; in pixels y points downwards.
    const [x, y, z] = [dot(right, along), -dot(up, along), -dot(back, along)];
    return [fx * x + cx * z, fy * y + cy * z, z];
  };
  // Direction of the pixel (x, y): (x - cx) / fx right - (y - cy) / fy up - back.
  const a = column(right2).map((value) => value / fx);
  const b = column(up2).map((value) => -value / fy);
  const c = column(back2).map((value, i) => -value - cx * a[i]! - cy * b[i]!);
  return [...a, ...b, ...c];
}
