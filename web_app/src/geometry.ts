/** Three numbers at a time, in double precision: tests/vectors/reference_camera.py in TypeScript. */

export type Vector = readonly [number, number, number];

/** c2w, 3 rows of 4, OpenGL axes. */
export type Pose = readonly number[];

/** Length below which the product of two unit vectors says nothing of a direction. */
const PARALLEL = 1e-9;

export function vector(values: readonly number[]): Vector {
  return [values[0]!, values[1]!, values[2]!];
}

export function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/** a + scale b. */
export function add(a: Vector, b: Vector, scale = 1): Vector {
  return [a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2]];
}

export function times(a: Vector, scale: number): Vector {
  return [a[0] * scale, a[1] * scale, a[2] * scale];
}

export function length(a: Vector): number {
  return Math.sqrt(dot(a, a));
}

/** `a` at length 1; `otherwise` where `a` is too short to have a direction. */
export function unit(a: Vector, otherwise: Vector): Vector {
  const size = length(a);
  return size >= PARALLEL ? times(a, 1 / size) : otherwise;
}

/** Unit vector across `up` (unit length): the axis farthest from it (the first of equals), made perpendicular. */
export function across(up: Vector): Vector {
  const sizes = up.map(Math.abs);
  const index = sizes.indexOf(Math.min(...sizes));
  const axis: Vector = [Number(index === 0), Number(index === 1), Number(index === 2)];
  return unit(add(axis, up, -dot(axis, up)), axis);
}

/** `a` turned about the unit vector `axis` by `angle` radians, anticlockwise (Rodrigues). */
export function turned(a: Vector, axis: Vector, angle: number): Vector {
  const c = Math.cos(angle);
  const side = times(cross(axis, a), Math.sin(angle));
  return add(add(times(a, c), side), axis, dot(axis, a) * (1 - c));
}

/** The unit vector `a`, brought to within `widest` radians of the unit vector `pole` by the shortest way. */
export function toward(a: Vector, pole: Vector, widest: number): Vector {
  const off = add(a, pole, -dot(a, pole));
  if (Math.atan2(length(off), dot(a, pole)) <= widest) return a;
  if (length(off) < PARALLEL) return pole; // opposite: there is no shortest way
  return add(times(pole, Math.cos(widest)), unit(off, pole), Math.sin(widest));
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

export function pose(right: Vector, up: Vector, back: Vector, eye: Vector): Pose {
  return [0, 1, 2].flatMap((i) => [right[i]!, up[i]!, back[i]!, eye[i]!]);
}

/** c2w of the camera at `eye` with backward axis `back` and `up` upwards in its image (unit vectors). */
export function upright(back: Vector, up: Vector, eye: Vector): Pose {
  const aside = across(up);
  const right = unit(cross(up, back), unit(cross(aside, back), aside));
  return pose(right, cross(back, right), back, eye);
}

/** The columns of a pose: right, up, back, eye. */
export function columns(of: Pose): [Vector, Vector, Vector, Vector] {
  const column = (i: number): Vector => [of[i]!, of[i + 4]!, of[i + 8]!];
  return [column(0), column(1), column(2), column(3)];
}

export function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
