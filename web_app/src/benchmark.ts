/** One benchmark: follows the server's plan, a bundle after the other, and keeps what it has when it is cut short. */

import { type Attempt, BACKEND_NAMES } from "./backends";
import { firstRight, measureOthers } from "./choice";
import { Course } from "./course";
import { createRenderer } from "./FrameRenderer";
import { readGolden } from "./golden";
import { readManifest, unsupported } from "./Manifest";
import { type Device, PROTOCOL, type Report, type Result } from "./report";
import { type Plan, reader } from "./site";
import { Pane, Viewer } from "./Viewer";

const STEP = 0.02; // of the view's side that the camera turns between two pictures

/** A bundle to measure. */
export interface Measured {
  id: string;
  name: string;
  base: URL;
}

interface Running {
  bundle: string;
  attempt: Attempt;
  threads: number;
  measured: Course;
  sustained: Course;
}

export class Benchmark {
  stopped: string | null = null;
  finished = false;
  private readonly runs: Running[] = [];

  constructor(
    private readonly plan: Plan,
    private readonly device: Device,
    /** A canvas for the pictures of the next bundle. */
    private readonly canvas: () => HTMLCanvasElement,
    private readonly say: (what: string) => void,
  ) {}

  /** What is known so far. */
  report(): Report {
    const { stopped, finished, device } = this;
    const visible = document.visibilityState === "visible";
    const results = this.runs.filter(({ measured }) => measured.frames > 0).map(resultOf);
    return { protocol: PROTOCOL, finished, stopped, device, results, visible };
  }

  async run(bundles: readonly Measured[]): Promise<void> {
    for (const [i, bundle] of bundles.entries()) {
      if (this.stopped === null) await this.measure(bundle, `${i + 1} of ${bundles.length}, ${bundle.name}`);
    }
    this.finished = this.stopped === null;
  }

  private async measure({ id, base }: Measured, title: string): Promise<void> {
    this.say(`${title}: loading`);
    const read = reader(base);
    const manifest = await readManifest(read);
    const refused = unsupported(manifest);
    if (refused) throw refused;
    const source = { manifest, read, views: await readGolden(manifest, read), arrived: () => undefined };
    const asked = new URLSearchParams(location.search).get("backend");
    const choice = await firstRight(source, asked, false);
    const renderer = createRenderer(this.canvas(), manifest.image, () => undefined, false);
    const pane = new Pane(choice.model, renderer);
    const viewer = new Viewer(manifest, [pane], { shown: () => undefined, failed: () => undefined });
    try {
      renderer.resize(manifest.image.width, manifest.image.height);
      this.say(`${title}: trying backends`);
      await measureOthers(choice, source, viewer, () => this.stopped === null);
      const { backend, threads } = pane.model;
      const attempt = choice.attempts.find((one) => one.backend === backend)!;
      const running = { bundle: id, attempt, threads, measured: new Course(), sustained: new Course() };
      this.runs.push(running);
      const { warm_up_seconds, seconds, minutes } = this.plan;
      await this.pictures(viewer, pane, warm_up_seconds, `${title}: ${BACKEND_NAMES[backend]}, warming up`);
      await this.pictures(viewer, pane, seconds, `${title}: measuring`, running.measured);
      if (minutes) await this.pictures(viewer, pane, minutes * 60, `${title}: going on`, running.sustained);
    } finally {
      viewer.release();
    }
  }

  private async pictures(
    viewer: Viewer,
    pane: Pane,
    seconds: number,
    what: string,
    course?: Course,
  ): Promise<void> {
    const start = performance.now();
    for (
      let passed = 0;
      passed < seconds * 1000 && this.stopped === null;
      passed = performance.now() - start
    ) {
      viewer.camera.drag(STEP, 0, 0);
      await pane.render(viewer.camera.c2w);
      pane.renderer.present(pane.picture!);
      course?.add(pane.picture!.milliseconds, performance.now() - start);
      this.say(`${what}, ${Math.floor(passed / 1000)} of ${seconds} s`);
    }
  }
}

function resultOf({ bundle, attempt, threads, measured, sustained }: Running): Result {
  return {
    bundle,
    backend: attempt.backend,
    threads,
    load_milliseconds: attempt.loaded!,
    first_frame_milliseconds: attempt.loaded! + attempt.first!,
    frames: measured.frames,
    latency: measured.latency(),
    sustained: (sustained.frames > 0 ? sustained : measured).seconds,
    golden_psnr: attempt.psnr ?? null,
  };
}
