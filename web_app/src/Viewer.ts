/** The loop: the camera's latest pose in, a picture out. No queue, and no work while nothing moves. */

import { createRenderer, type FrameRenderer } from "./FrameRenderer";
import { FrameTimes } from "./FrameTimes";
import { type Pose, vector } from "./geometry";
import { type Comparison, compareView, type GoldenView } from "./golden";
import type { Manifest, Read } from "./Manifest";
import type { Picture } from "./messages";
import type { NelfModel } from "./NelfModel";
import { OrbitCamera } from "./OrbitCamera";
import { nextQuality, type Quality } from "./quality";
import { warp } from "./warp";

const LONGEST_STEP = 0.25; // s: after a pause of the page nothing jumps

export interface Events {
  /** A picture was shown. */
  shown: () => void;
  /** The model failed. */
  failed: (error: unknown) => void;
}

export class Viewer {
  readonly camera: OrbitCamera;
  readonly times = new FrameTimes();
  quality: Quality = "direct";
  /** Pose of the picture on the screen. */
  pose: Pose | undefined;
  /** Called before the camera of a frame is used: applies what fingers did. */
  input: () => void = () => undefined;

  readonly renderer: FrameRenderer;
  private picture: Picture | undefined;
  private wanted = false; // the camera may be elsewhere than the last pose asked for
  private asked: Pose | undefined;
  private busy = false;
  private late = false; // a frame of the screen came while the model was busy
  private scheduled = 0;
  private before = 0; // ms, of the last frame of the screen
  private idle: (() => void)[] = [];

  constructor(
    canvas: HTMLCanvasElement,
    private readonly manifest: Manifest,
    readonly model: NelfModel,
    private readonly events: Events,
    insistOnWebGl = false,
  ) {
    this.camera = new OrbitCamera(manifest);
    this.renderer = createRenderer(canvas, manifest.image, () => this.paint(), insistOnWebGl);
  }

  /** The camera may have moved. */
  changed(): void {
    this.wanted = true;
    if (this.scheduled === 0) {
      this.before = performance.now();
      this.scheduled = requestAnimationFrame((now) => this.frame(now));
    }
  }

  /** The canvas has this size, in CSS pixels and in those of the screen. */
  resize(width: number, height: number, scale: number): void {
    this.renderer.resize(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    this.camera.resize(width, height);
    this.paint();
  }

  /** Compare with the golden views, one after the other; pictures wait meanwhile. */
  async *check(views: readonly GoldenView[], read: Read): AsyncGenerator<Comparison> {
    for (const view of views) {
      await this.free();
      this.busy = true;
      try {
        yield await compareView(this.model, view, this.manifest, read);
      } finally {
        this.freed();
      }
    }
    this.changed();
  }

  release(): void {
    cancelAnimationFrame(this.scheduled);
    this.scheduled = -1;
    this.model.release();
  }

  private frame(now: number): void {
    this.scheduled = 0;
    const step = Math.min(Math.max(now - this.before, 0) / 1000, LONGEST_STEP);
    this.before = now;
    this.input();
    if (this.camera.moving) {
      this.camera.step(step);
      this.wanted = true; // the last step, after which it stands, moved it too
    }
    if (this.busy) this.late = true;
    else void this.advance();
    if (this.quality === "warped") this.paint(this.camera.c2w);
    if (this.camera.moving || (this.busy && this.quality === "warped")) {
      this.scheduled = requestAnimationFrame((next) => this.frame(next));
    }
  }

  /** Ask for the picture at the camera's pose, unless it is there. */
  private async advance(): Promise<void> {
    this.late = false;
    const pose = this.camera.c2w;
    const news = this.wanted && String(pose) !== String(this.asked);
    this.wanted = false;
    if (!news) return;
    this.asked = pose;
    this.busy = true;
    try {
      const picture = await this.model.run(pose);
      if (this.picture) this.model.reuse(this.picture);
      this.picture = picture;
      this.pose = pose;
      this.times.add(picture.milliseconds);
      this.quality = this.renderer.warps ? nextQuality(this.quality, this.times.median) : "direct";
      this.paint(this.quality === "warped" ? this.camera.c2w : pose);
      this.events.shown();
    } catch (error) {
      this.release();
      this.events.failed(error);
      return;
    }
    this.freed();
  }

  /** The picture on the screen, turned to the pose `to`. */
  private paint(to = this.pose): void {
    if (!this.picture || !this.pose || !to) return;
    const { focus, intrinsics } = this.manifest.camera;
    const turned = to === this.pose ? undefined : warp(this.pose, to, vector(focus), intrinsics);
    this.renderer.present(this.picture, turned);
  }

  private async free(): Promise<void> {
    while (this.busy) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private freed(): void {
    this.busy = false;
    const next = this.idle.shift();
    if (next) next();
    else if (this.late)
      void this.advance(); // the screen already waited
    else if (this.wanted) this.changed();
  }
}
