/** One benchmark: follows the server's plan, a bundle after the other, and keeps what it has when it is cut short. */

import type { Attempt } from "./backends";
import { firstRight, measureOthers } from "./choice";
import { Measurement, type Phase } from "./course";
import { createRenderer } from "./FrameRenderer";
import { readGolden } from "./golden";
import { explained, readManifest, unsupported } from "./Manifest";
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
  measurement: Measurement;
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
    const results = this.runs.filter(({ measurement }) => measurement.frames > 0).map(resultOf);
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
    const asked = new URLSearchParams(location.search).get("backend");
    const opened = async () => {
      const source = { manifest, read, views: await readGolden(manifest, read), arrived: () => undefined };
      return { source, choice: await firstRight(source, asked, false) };
    };
    const { source, choice } = await opened().catch(async (error: unknown) => {
      throw await explained(error, manifest, read);
    });
    const renderer = createRenderer(this.canvas(), manifest.image, () => undefined, false);
    const pane = new Pane(choice.model, renderer);
    const viewer = new Viewer(manifest, [pane], { shown: () => undefined, failed: () => undefined });
    try {
      renderer.resize(manifest.image.width, manifest.image.height);
      this.say(`${title}: trying backends`);
      await measureOthers(choice, source, viewer, () => this.stopped === null);
      const { backend, threads } = pane.model;
      const attempt = choice.attempts.find((one) => one.backend === backend)!;
      const measurement = new Measurement(this.plan, performance.now() / 1000);
      this.runs.push({ bundle: id, attempt, threads, measurement });
      await this.pictures(viewer, pane, title, measurement);
    } finally {
      viewer.release();
    }
  }

  private async pictures(viewer: Viewer, pane: Pane, title: string, measurement: Measurement): Promise<void> {
    const names: Record<Phase, string> = {
      "warm up": "warming up",
      measured: "measuring",
      sustained: "going on",
    };
    let [phase, began] = [measurement.phase, performance.now()];
    let goesOn = true;
    while (goesOn && this.stopped === null) {
      viewer.camera.drag(STEP, 0, 0);
      await pane.render(viewer.camera.c2w);
      pane.renderer.present(pane.picture!);
      const now = performance.now();
      goesOn = measurement.add(pane.picture!.milliseconds, now / 1000);
      if (measurement.phase !== phase) [phase, began] = [measurement.phase, now];
      if (phase)
        this.say(`${title}: ${names[phase]}, ${Math.floor((now - began) / 1000)} of ${this.length(phase)} s`);
    }
  }

  private length(phase: Phase): number {
    const { warm_up_seconds, seconds, minutes } = this.plan;
    return { "warm up": warm_up_seconds, measured: seconds, sustained: 60 * (minutes ?? 0) }[phase];
  }
}

function resultOf({ bundle, attempt, threads, measurement }: Running): Result {
  return {
    bundle,
    model_sha256: null,
    backend: attempt.backend,
    passed_over: [],
    threads,
    load_milliseconds: attempt.loaded!,
    first_frame_milliseconds: attempt.loaded! + attempt.first!,
    ...measurement.figures(),
    conditions: [],
    memory_mb: null,
    golden_psnr: attempt.psnr ?? null,
  };
}
