/** Motion at the start: the camera goes round, or sways where the region is not closed, until somebody touches it. */

import type { Region } from "./Manifest";
import type { OrbitCamera } from "./OrbitCamera";

/** View sides a second: once round in half a minute. */
const SPEED = 2 / 30;
/** View sides to each side, and seconds there and back. */
const SWAY: readonly [number, number] = [0.12, 0.05];
const PERIOD = 9;

export class AutoOrbit {
  active = false;
  private time = 0;

  constructor(
    private readonly camera: OrbitCamera,
    private readonly region: Region,
    /** Shorter side of the view, in CSS pixels. */
    private readonly side: () => number,
  ) {}

  /** Let the time pass; returns whether it moves the camera. */
  step(passed: number): boolean {
    if (!this.active) return false;
    const [x, y] = this.at(this.time);
    this.time += passed;
    const [x2, y2] = this.at(this.time);
    this.camera.drag((x2 - x) * this.side(), (y2 - y) * this.side(), 0);
    this.camera.takeEdge(); // nobody pushed
    return true;
  }

  private at(time: number): readonly [number, number] {
    if (this.region.type === "orbit" && this.region.azimuth_width >= 360) return [-SPEED * time, 0];
    const angle = (2 * Math.PI * time) / PERIOD;
    return [SWAY[0] * Math.sin(angle), SWAY[1] * Math.sin(2 * angle)];
  }
}
