/** The loop: the camera's latest pose in, a picture out. No queue, and no work while nothing moves. */

import type { FrameRenderer } from "./FrameRenderer";
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
const LEAST_INTERVALS = 20; // before their median says anything

export interface Events {
  /** A picture was shown. */
  shown: () => void;
  /** A model failed. */
  failed: (error: unknown) => void;
}

/** A network and where its pictures are shown. */
export class Pane {
  readonly times = new FrameTimes();
  picture: Picture | undefined;

  constructor(
    public model: NelfModel,
    readonly renderer: FrameRenderer,
  ) {}

  /** The network's picture at a pose becomes the pane's. */
  async render(pose: Pose): Promise<void> {
    const picture = await this.model.run(pose);
    if (this.picture) this.model.reuse(this.picture);
    this.picture = picture;
    this.times.add(picture.milliseconds);
  }
}

/** One pane, or two that show the same pose in step. The region and the figures are those of the first. */
export class Viewer {
  readonly camera: OrbitCamera;
  quality: Quality = "direct";
  /** Pose of the picture on the screen. */
  pose: Pose | undefined;
  /** Called before the camera of a frame is used, with the seconds since the last one: what steers it. Returns whether
   *  it goes on by itself. */
  input: (passed: number) => boolean = () => false;
  /** Frames of the screen while the last picture is turned. */
  readonly intervals = new FrameTimes();

  private wanted = false; // the camera may be elsewhere than the last pose asked for
  private asked: Pose | undefined;
  private busy = false;
  private late = false; // a frame of the screen came while the model was busy
  private scheduled = 0;
  private before = 0; // ms, of the last frame of the screen
  private running = false; // the last frame of the screen asked for the next
  private size: readonly [number, number] = [1, 1]; // in pixels of the screen
  private idle: (() => void)[] = [];

  constructor(
    private readonly manifest: Manifest,
    readonly panes: readonly Pane[],
    private readonly events: Events,
  ) {
    this.camera = new OrbitCamera(manifest);
  }

  get model(): NelfModel {
    return this.panes[0]!.model;
  }

  get renderer(): FrameRenderer {
    return this.panes[0]!.renderer;
  }

  get times(): FrameTimes {
    return this.panes[0]!.times;
  }

  /** The camera may have moved. */
  changed(): void {
    this.wanted = true;
    if (this.scheduled === 0) {
      this.before = performance.now();
      this.running = false;
      this.scheduled = requestAnimationFrame((now) => this.frame(now));
    }
  }

  /** The canvas has this size, in CSS pixels and in those of the screen. */
  resize(width: number, height: number, scale: number): void {
    this.size = [width * scale, height * scale];
    this.camera.resize(width, height);
    this.applySize();
  }

  /** Show the last picture again. */
  repaint(): void {
    this.paint();
  }

  /** Compare with the golden views, one after the other; pictures wait meanwhile. */
  async *check(views: readonly GoldenView[], read: Read): AsyncGenerator<Comparison> {
    for (const view of views) {
      yield await this.alone(() => compareView(this.model, view, this.manifest, read));
    }
    this.changed();
  }

  /** Do `work` while no picture is computed. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.busy) await new Promise<void>((resolve) => this.idle.push(resolve));
    this.busy = true;
    try {
      return await work();
    } finally {
      this.freed();
    }
  }

  /** Go on with another model of the same bundle. */
  async use(model: NelfModel): Promise<void> {
    await this.alone(async () => {
      const pane = this.panes[0]!;
      pane.model.release();
      pane.model = model;
      pane.times.clear();
    });
  }

  release(): void {
    cancelAnimationFrame(this.scheduled);
    this.scheduled = -1;
    for (const { model } of this.panes) model.release();
  }

  private frame(now: number): void {
    this.scheduled = 0;
    const passed = Math.max(now - this.before, 0);
    const step = Math.min(passed / 1000, LONGEST_STEP);
    if (this.running && this.quality !== "direct") this.intervals.add(passed);
    this.before = now;
    const steered = this.input(step);
    if (steered) this.wanted = true;
    if (this.camera.moving) {
      this.camera.step(step);
      this.wanted = true; // the last step, after which it stands, moved it too
    }
    if (this.busy) this.late = true;
    else void this.advance();
    if (this.quality !== "direct") this.paint(this.camera.c2w);
    this.running = steered || this.camera.moving || (this.busy && this.quality !== "direct");
    if (this.running) this.scheduled = requestAnimationFrame((next) => this.frame(next));
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
      await Promise.all(this.panes.map((pane) => pane.render(pose)));
      this.pose = pose;
      this.adapt();
      this.paint(this.quality === "direct" ? pose : this.camera.c2w);
      this.events.shown();
    } catch (error) {
      this.release();
      this.events.failed(error);
      return;
    }
    this.freed();
  }

  private adapt(): void {
    if (!this.renderer.warps) return;
    const median = Math.max(...this.panes.map((pane) => pane.times.median));
    const interval = this.intervals.total < LEAST_INTERVALS ? Number.NaN : this.intervals.median;
    const next = nextQuality(this.quality, median, interval);
    if (next === this.quality) return;
    this.quality = next;
    this.intervals.clear();
    this.applySize();
  }

  private applySize(): void {
    const scale = this.quality === "halved" ? 0.5 : 1;
    const [width, height] = this.size.map((pixels) => Math.max(1, Math.round(pixels * scale)));
    for (const { renderer } of this.panes) renderer.resize(width!, height!);
    this.paint();
  }

  /** The pictures on the screen, turned to the pose `to`. */
  private paint(to = this.pose): void {
    if (!this.pose || !to) return;
    const { focus, intrinsics } = this.manifest.camera;
    const turned = to === this.pose ? undefined : warp(this.pose, to, vector(focus), intrinsics);
    for (const { picture, renderer } of this.panes) if (picture) renderer.present(picture, turned);
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
