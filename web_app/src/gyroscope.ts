/** "Look around by moving the phone": turns of the device as drags. */

import { radians } from "./geometry";
import type { OrbitCamera } from "./OrbitCamera";

/** iOS asks the person first. */
interface Asking {
  requestPermission?: () => Promise<"granted" | "denied">;
}

type Matrix = readonly number[]; // row by row

const LARGEST_TURN = 0.5; // radians between two events; more is a jump of the sensor

/** Whether it makes sense to offer it: a device that is held. */
export function hasGyroscope(): boolean {
  return "DeviceOrientationEvent" in globalThis && matchMedia("(pointer: coarse)").matches;
}

export class Gyroscope {
  private before: Matrix | undefined;
  private readonly listener = (event: DeviceOrientationEvent) => this.turned(event);

  /** `moved`: the camera moved. */
  constructor(
    private readonly camera: OrbitCamera,
    private readonly side: () => number,
    private readonly moved: () => void,
  ) {}

  /** Start; why it cannot, in words for a person, or undefined. To be called from a tap. */
  async start(): Promise<string | undefined> {
    const ask = (DeviceOrientationEvent as unknown as Asking).requestPermission;
    if (ask) {
      const answer = await ask().catch(() => "denied" as const);
      if (answer !== "granted") return "The browser does not let this page use the motion sensor";
    }
    this.before = undefined;
    addEventListener("deviceorientation", this.listener);
    return undefined;
  }

  stop(): void {
    removeEventListener("deviceorientation", this.listener);
  }

  private turned({ alpha, beta, gamma }: DeviceOrientationEvent): void {
    if (alpha === null || beta === null || gamma === null) return; // there is no sensor
    const now = orientation(radians(alpha), radians(beta), radians(gamma));
    const before = this.before;
    this.before = now;
    if (!before) return;
    const [x, y] = onScreen(turn(before, now), radians(screen.orientation?.angle ?? 0));
    if (Math.hypot(x, y) > LARGEST_TURN) return;
    // A drag over the view's side turns the camera by half a circle.
    const scale = this.side() / Math.PI;
    this.camera.drag(-y * scale, -x * scale, 0);
    this.moved();
  }
}

/** Device to earth: turns about z, x and y in this order (W3C Device Orientation, section "deviceorientation"). */
function orientation(alpha: number, beta: number, gamma: number): Matrix {
  const [ca, sa] = [Math.cos(alpha), Math.sin(alpha)];
  const [cb, sb] = [Math.cos(beta), Math.sin(beta)];
  const [cg, sg] = [Math.cos(gamma), Math.sin(gamma)];
  // biome-ignore format: a matrix
  return [
    ca * cg - sa * sb * sg, -sa * cb, ca * sg + sa * sb * cg,
    sa * cg + ca * sb * sg, ca * cb, sa * sg - ca * sb * cg,
    -cb * sg, sb, cb * cg,
  ];
}

/** The small turn between two orientations, radians about the device's x and y axes. */
function turn(before: Matrix, now: Matrix): readonly [number, number] {
  // Of R = transposed(before) now, half of what is not symmetric.
  const entry = (i: number, j: number) =>
    before[i]! * now[j]! + before[i + 3]! * now[j + 3]! + before[i + 6]! * now[j + 6]!;
  return [(entry(2, 1) - entry(1, 2)) / 2, (entry(0, 2) - entry(2, 0)) / 2];
}

/** From the device's axes to those of the screen: at 90 degrees the device lies on its left side. */
function onScreen([x, y]: readonly [number, number], angle: number): readonly [number, number] {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c * x - s * y, s * x + c * y];
}
