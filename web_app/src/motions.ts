/**
 * How a gesture moves the camera in each kind of region, and what keeps it inside. docs/viewers.md has the formulas.
 *
 * `orbit`, `pan` take fractions of the view's shorter side, x to the right and y downwards; `dolly` takes the natural
 * logarithm of how much larger things get.
 */

import {
  add,
  clamp,
  columns,
  cross,
  dot,
  length,
  type Pose,
  pose,
  radians,
  times,
  toward,
  turned,
  unit,
  upright,
  type Vector,
  vector,
} from "./geometry";
import type { BoxRegion, Manifest, OrbitRegion } from "./Manifest";

/** Radians that a drag over the view's shorter side turns by. */
const TURN = Math.PI;
const START_ELEVATION = radians(20);
/** Farthest that the point looked at moves from its place, as a share of its distance, to each side. */
const PAN_LIMIT = 0.15;
const STEEPEST = radians(85);

export interface Motion {
  /** How far the last move would have left the region, in the units of its arguments. */
  readonly edge: number;
  /** Numbers that say where it is; `restore` brings it back there, inside the region. */
  readonly state: readonly number[];
  restore(state: readonly number[]): void;
  orbit(dx: number, dy: number): void;
  pan(dx: number, dy: number): void;
  dolly(logScale: number): void;
  reset(): void;
  c2w(): Pose;
}

/** Region `orbit`: the camera circles `center` in spherical coordinates, each held to its range. */
class OrbitMotion implements Motion {
  private readonly center: Vector;
  private readonly up: Vector;
  private readonly zero: Vector;
  private readonly side: Vector;
  private readonly elevations: readonly [number, number];
  private readonly halfArc: number;
  private readonly middle: number;
  private readonly span: number;
  private turn = 0; // from the middle of the arc
  private elevation = 0;
  private radius = 0;
  private shift: readonly [number, number] = [0, 0];
  edge = 0;

  constructor(
    manifest: Manifest,
    private readonly region: OrbitRegion,
  ) {
    this.center = vector(region.center);
    this.up = vector(region.up);
    this.zero = vector(region.azimuth_zero);
    this.side = cross(this.up, this.zero);
    this.elevations = [radians(region.elevation[0]), radians(region.elevation[1])];
    this.halfArc = radians(region.azimuth_width) / 2;
    this.middle = radians(region.azimuth_start) + this.halfArc;
    this.span = span(manifest);
    this.reset();
  }

  reset(): void {
    const [nearest, farthest] = this.region.radius;
    this.turn = 0;
    this.elevation = clamp(START_ELEVATION, ...this.elevations);
    this.radius = (nearest + farthest) / 2;
    this.shift = [0, 0];
  }

  orbit(dx: number, dy: number): void {
    const turn = this.turn - dx * TURN;
    const round = this.region.azimuth_width >= 360;
    this.turn = round
      ? turn - 2 * Math.PI * Math.floor((turn + Math.PI) / (2 * Math.PI))
      : clamp(turn, -this.halfArc, this.halfArc);
    const elevation = this.elevation + dy * TURN;
    this.elevation = clamp(elevation, ...this.elevations);
    const beyond = round ? 0 : Math.abs(turn - this.turn);
    this.edge = Math.max(beyond, Math.abs(elevation - this.elevation)) / TURN;
  }

  pan(dx: number, dy: number): void {
    const before = this.shift;
    this.shift = shifted(before, dx * this.span, dy * this.span);
    this.edge = beyondShift(before, this.shift, dx, dy, this.span);
  }

  dolly(logScale: number): void {
    const radius = this.radius * Math.exp(-logScale);
    this.radius = clamp(radius, ...this.region.radius);
    this.edge = Math.abs(Math.log(radius / this.radius));
  }

  get state(): readonly number[] {
    return [this.turn, this.elevation, this.radius, ...this.shift];
  }

  restore([turn, elevation, radius, p, q]: readonly number[]): void {
    this.reset();
    this.orbit(-turn! / TURN, (elevation! - this.elevation) / TURN);
    this.radius = clamp(radius!, ...this.region.radius);
    this.shift = shifted([0, 0], -p!, q!);
  }

  c2w(): Pose {
    const azimuth = this.middle + this.turn;
    const outwards = add(times(this.zero, Math.cos(azimuth)), this.side, Math.sin(azimuth));
    const away = add(times(outwards, Math.cos(this.elevation)), this.up, Math.sin(this.elevation));
    const aside = add(times(this.side, Math.cos(azimuth)), this.zero, -Math.sin(azimuth)); // at the poles too
    const above = cross(away, aside);
    const back = unit(add(add(away, aside, -this.shift[0]), above, -this.shift[1]), away);
    const right = unit(cross(above, back), aside);
    return pose(right, cross(back, right), back, add(this.center, away, this.radius));
  }
}

/** Region `box`: the camera shifts inside the box, in the frame of its reference camera, and looks at the focus. */
class BoxMotion implements Motion {
  private readonly axes: readonly [Vector, Vector, Vector];
  private readonly origin: Vector;
  private readonly low: Vector;
  private readonly high: Vector;
  private readonly angle: number;
  private readonly aim: Vector;
  private readonly span: number;
  private place: Vector = [0, 0, 0];
  private shift: readonly [number, number] = [0, 0];
  edge = 0;

  constructor(manifest: Manifest, region: BoxRegion) {
    const [x, y, z, origin] = columns(region.reference);
    this.axes = [x, y, z];
    this.origin = origin;
    this.low = vector(region.low);
    this.high = vector(region.high);
    this.angle = radians(region.angle);
    const offset = add(vector(manifest.camera.focus), origin, -1);
    // Before the box, wherever the focus is.
    this.aim = [dot(offset, x), dot(offset, y), Math.min(dot(offset, z), this.low[2] - manifest.camera.near)];
    this.span = span(manifest);
    this.reset();
  }

  reset(): void {
    this.shift = [0, 0];
    this.moveTo([0, 0, 0]);
  }

  private moveTo(to: Vector): void {
    const inside = (i: 0 | 1 | 2) => clamp(to[i], this.low[i], this.high[i]);
    this.place = [inside(0), inside(1), inside(2)];
    const size = Math.max(...add(this.high, this.low, -1));
    this.edge = size > 0 ? length(add(to, this.place, -1)) / size : 0;
  }

  get state(): readonly number[] {
    return [...this.place, ...this.shift];
  }

  restore([x, y, z, p, q]: readonly number[]): void {
    this.moveTo([x!, y!, z!]);
    this.shift = shifted([0, 0], -p!, q!);
  }

  orbit(dx: number, dy: number): void {
    const size = add(this.high, this.low, -1);
    this.moveTo(add(this.place, [-dx * size[0], dy * size[1], 0]));
  }

  pan(dx: number, dy: number): void {
    const before = this.shift;
    this.shift = shifted(before, dx * this.span, dy * this.span);
    this.edge = beyondShift(before, this.shift, dx, dy, this.span);
  }

  dolly(logScale: number): void {
    this.moveTo(add(this.place, [0, 0, -logScale * (this.high[2] - this.low[2])]));
  }

  c2w(): Pose {
    const distance = this.place[2] - this.aim[2];
    const target = add(this.aim, [this.shift[0] * distance, this.shift[1] * distance, 0]);
    const ahead: Vector = [0, 0, 1];
    const back = toward(unit(add(this.place, target, -1), ahead), ahead, this.angle);
    const right = unit([back[2], 0, -back[0]], [1, 0, 0]);
    const eye = add(this.origin, this.world(this.place));
    return pose(this.world(right), this.world(cross(back, right)), this.world(back), eye);
  }

  private world(local: Vector): Vector {
    const [x, y, z] = this.axes;
    return add(add(times(x, local[0]), y, local[1]), z, local[2]);
  }
}

/** Region `box` with `cameras`: the camera goes where it likes, and is drawn back to the nearest covered one. */
class NearbyCamerasMotion implements Motion {
  private readonly eyes: readonly Vector[];
  private readonly backs: readonly Vector[];
  private readonly reach: number;
  private readonly widest: number;
  private readonly up: Vector;
  private readonly focus: Vector;
  private readonly distance: number;
  private readonly span: number;
  private eye: Vector = [0, 0, 0];
  private back: Vector = [0, 0, 1];
  edge = 0;

  constructor(manifest: Manifest, region: BoxRegion, cameras: readonly Pose[]) {
    this.eyes = cameras.map((camera) => columns(camera)[3]);
    this.backs = cameras.map((camera) => unit(columns(camera)[2], [0, 0, 1]));
    this.reach = region.max_distance ?? 0;
    this.widest = radians(region.max_angle ?? 0);
    this.up = vector(manifest.camera.up);
    this.focus = vector(manifest.camera.focus);
    const distances = this.eyes.map((eye) => length(add(eye, this.focus, -1)));
    this.distance = distances.reduce((sum, one) => sum + one, 0) / distances.length;
    this.span = span(manifest);
    this.reset();
  }

  reset(): void {
    this.eye = this.eyes[0]!;
    this.back = this.backs[0]!;
  }

  orbit(dx: number, dy: number): void {
    this.turn(this.up, -dx * TURN);
    const elevation = Math.asin(clamp(dot(this.back, this.up), -1, 1));
    const steepest = Math.max(STEEPEST, Math.abs(elevation));
    const rise = clamp(elevation + dy * TURN, -steepest, steepest) - elevation;
    this.turn(this.right(), -rise);
    this.stay();
  }

  pan(dx: number, dy: number): void {
    const right = this.right();
    const move = this.span * this.distance;
    this.eye = add(add(this.eye, right, -dx * move), cross(this.back, right), dy * move);
    this.stay();
  }

  dolly(logScale: number): void {
    this.eye = add(this.eye, this.back, -logScale * this.distance);
    this.stay();
  }

  c2w(): Pose {
    return upright(this.back, this.up, this.eye);
  }

  get state(): readonly number[] {
    return [...this.eye, ...this.back];
  }

  restore(state: readonly number[]): void {
    this.eye = vector(state);
    this.back = unit(vector(state.slice(3)), this.backs[0]!);
    this.stay();
  }

  private right(): Vector {
    return columns(this.c2w())[0];
  }

  /** Everything about an axis through the focus. */
  private turn(axis: Vector, angle: number): void {
    this.eye = add(this.focus, turned(add(this.eye, this.focus, -1), axis, angle));
    this.back = unit(turned(this.back, axis, angle), this.back);
  }

  private stay(): void {
    const differences = this.eyes.map((eye, i) => {
      const place = add(this.eye, eye, -1);
      const look = add(this.back, this.backs[i]!, -1);
      return dot(place, place) + this.distance ** 2 * dot(look, look);
    });
    const nearest = differences.indexOf(Math.min(...differences)); // the first of equals
    const home = this.eyes[nearest]!;
    const offset = add(this.eye, home, -1);
    const size = length(offset);
    this.edge = Math.max(0, size - this.reach) / this.distance;
    if (size > this.reach) this.eye = add(home, offset, this.reach / size);
    this.back = toward(this.back, this.backs[nearest]!, this.widest);
  }
}

/** The motion for a manifest's region. */
export function motion(manifest: Manifest): Motion {
  const region = manifest.region;
  if (region.type === "orbit") return new OrbitMotion(manifest, region);
  return region.cameras?.length
    ? new NearbyCamerasMotion(manifest, region, region.cameras)
    : new BoxMotion(manifest, region);
}

/** Width of what the image's shorter side shows at distance 1. */
function span(manifest: Manifest): number {
  const [fx, fy] = manifest.camera.intrinsics;
  return Math.min(manifest.image.width / fx, manifest.image.height / fy);
}

function shifted(shift: readonly [number, number], dx: number, dy: number): readonly [number, number] {
  return [clamp(shift[0] - dx, -PAN_LIMIT, PAN_LIMIT), clamp(shift[1] + dy, -PAN_LIMIT, PAN_LIMIT)];
}

/** How far a shift by (dx, dy) would have gone beyond the limit. */
function beyondShift(
  before: readonly [number, number],
  after: readonly [number, number],
  dx: number,
  dy: number,
  span: number,
): number {
  return (
    Math.max(Math.abs(before[0] - dx * span - after[0]), Math.abs(before[1] + dy * span - after[1])) / span
  );
}
