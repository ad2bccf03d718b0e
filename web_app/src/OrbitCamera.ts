/**
 * The camera of the viewer: gestures in, pose out, never outside the region that training covered.
 *
 * tests/vectors/reference_camera.py is the reference, docs/viewers.md specifies it, tests/vectors/poses.json holds both to it.
 * No clock: time steps are arguments.
 */

import { clamp, type Pose } from "./geometry";
import type { Manifest } from "./Manifest";
import { type Motion, motion } from "./motions";

/** Seconds over which the speed of a gesture is averaged. */
const SMOOTHING = 0.05;
/** Seconds in which the speed after a gesture falls to 1/e. */
const INERTIA = 0.35;
/** Speeds, view sides (or e-foldings of scale) a second, below and above which there is none. */
const SLOWEST = 0.002;
const FASTEST = 8;
/** View sides, or e-foldings, that one move goes at most. */
const LONGEST = 100;
/** Seconds that are none: no speed comes of them. */
const SHORTEST_TIME = 1e-6;

type Kind = "orbit" | "pan" | "dolly";
type Speed = readonly [number, number]; // dolly uses the first alone

const KINDS: readonly Kind[] = ["orbit", "pan", "dolly"];

/** Lengths are CSS pixels, x to the right and y downwards; times are seconds. */
export class OrbitCamera {
  private readonly motion: Motion;
  private unit = 1;
  private held = false;
  private pushed = 0;
  private readonly speeds: Record<Kind, Speed> = { orbit: [0, 0], pan: [0, 0], dolly: [0, 0] };

  constructor(manifest: Manifest) {
    this.motion = motion(manifest);
  }

  /** The pose, camera to world. */
  get c2w(): Pose {
    return this.motion.c2w();
  }

  /** Whether `step` would move it. */
  get moving(): boolean {
    return !this.held && KINDS.some((kind) => size(this.speeds[kind]) > 0);
  }

  /** The view's size. */
  resize(width: number, height: number): void {
    if (finite(width, height) && width > 0 && height > 0) this.unit = Math.min(width, height);
  }

  /** Fingers were put down, or their number changed: what moved stops. */
  begin(): void {
    this.held = true;
    this.rest();
  }

  /** One finger moved by (dx, dy) in the time dt. */
  drag(dx: number, dy: number, dt: number): void {
    if (finite(dx, dy)) this.move("orbit", [dx / this.unit, dy / this.unit], dt);
  }

  /** Two fingers moved; (dx, dy) is the way of the point between them. */
  pan(dx: number, dy: number, dt: number): void {
    if (finite(dx, dy)) this.move("pan", [dx / this.unit, dy / this.unit], dt);
  }

  /** The distance of two fingers became `scale` times what it was. */
  pinch(scale: number, dt: number): void {
    if (finite(scale) && scale > 0) this.move("dolly", [Math.log(scale), 0], dt);
  }

  /** The last finger was lifted, the time dt after the last move: what was moving goes on by itself. */
  end(dt: number): void {
    const rest = Math.exp(-time(dt) / SMOOTHING);
    for (const kind of KINDS) {
      const now = scaled(this.speeds[kind], rest);
      const fast = size(now);
      // Nothing comes out of a gesture that had come to rest.
      this.speeds[kind] = scaled(now, fast < SLOWEST ? 0 : Math.min(1, FASTEST / fast));
    }
    this.held = false;
  }

  /** Let the time dt pass. Returns whether the camera is still moving. */
  step(dt: number): boolean {
    const passed = time(dt);
    for (const kind of KINDS) {
      const speed = this.speeds[kind];
      const fast = size(speed);
      if (this.held || fast === 0) continue;
      // Exact solution of v' = -v / INERTIA up to the moment of standing still: the same in one step or many.
      const left = INERTIA * Math.log(fast / SLOWEST);
      this.go(kind, scaled(speed, -INERTIA * Math.expm1(-Math.min(passed, left) / INERTIA)));
      this.speeds[kind] = scaled(speed, passed >= left ? 0 : Math.exp(-passed / INERTIA));
    }
    return this.moving;
  }

  /** How far moves would have left the region since this was asked last, in view sides (or e-foldings). */
  takeEdge(): number {
    const pushed = this.pushed;
    this.pushed = 0;
    return pushed;
  }

  /** Numbers for a link that leads back to this view. */
  get state(): readonly number[] {
    return this.motion.state;
  }

  /** Go where `state` says, at rest. Returns whether it can be a state of this region. */
  restore(state: readonly number[]): boolean {
    if (state.length !== this.state.length || !finite(...state)) return false;
    this.rest();
    this.motion.restore(state);
    return true;
  }

  /** Back to where it began, at rest. */
  reset(): void {
    this.rest();
    this.motion.reset();
  }

  private rest(): void {
    for (const kind of KINDS) this.speeds[kind] = [0, 0];
  }

  private go(kind: Kind, [x, y]: Speed): void {
    if (kind === "dolly") this.motion.dolly(x);
    else this.motion[kind](x, y);
    this.pushed = Math.max(this.pushed, this.motion.edge);
  }

  private move(kind: Kind, way: Speed, dt: number): void {
    const [x, y] = [clamp(way[0], -LONGEST, LONGEST), clamp(way[1], -LONGEST, LONGEST)];
    this.go(kind, [x, y]);
    const passed = time(dt);
    if (!this.held || passed === 0) return;
    const share = -Math.expm1(-passed / SMOOTHING);
    const [vx, vy] = this.speeds[kind];
    this.speeds[kind] = [vx + share * (x / passed - vx), vy + share * (y / passed - vy)];
  }
}

function size(speed: Speed): number {
  return Math.hypot(...speed);
}

function scaled([x, y]: Speed, by: number): Speed {
  return [x * by, y * by];
}

function finite(...values: number[]): boolean {
  return values.every(Number.isFinite);
}

function time(dt: number): number {
  return Number.isFinite(dt) && dt >= SHORTEST_TIME ? dt : 0;
}
