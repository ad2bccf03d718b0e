/** Figures on request: rate, times, backend, precision, quality, and whether the device gets slower. */

import { BACKEND_NAMES } from "./backends";
import { fill, find, on, recalls, remembers, show, text } from "./elements";
import type { Manifest } from "./Manifest";
import { QUALITY_NAMES } from "./quality";
import type { Viewer } from "./Viewer";

const INTERVAL = 250; // ms between changes of the numbers: they are to be read
const WANTED = "nelf figures";

/** Falling clock: pictures that make a first median, and how much longer a later one must take to be named. */
const FIRST = 60;
const SLOWER = 1.4;

export class Hud {
  private last = 0;
  private lastTotal = 0;
  private first = Number.NaN;
  private rate = Number.NaN;

  constructor(
    private readonly viewer: Viewer,
    private readonly manifests: readonly Manifest[],
  ) {
    const toggle = (shown: boolean) => {
      show("hud", shown);
      find("figures").setAttribute("aria-pressed", String(shown));
      this.write();
    };
    toggle(recalls(WANTED));
    on("figures", "click", () => {
      const wanted = find("hud").hidden !== false;
      remembers(WANTED, wanted);
      toggle(wanted);
    });
  }

  /** Another model: its times begin anew. */
  restart(): void {
    this.first = Number.NaN;
    this.lastTotal = 0;
    this.write();
  }

  /** A picture was shown. */
  update(): void {
    const now = performance.now();
    const passed = now - this.last;
    if (passed < INTERVAL) return;
    const { times } = this.viewer;
    // A rate is that of movement: across a pause it would say how long nobody touched the page.
    if (passed < 4 * INTERVAL) this.rate = ((times.total - this.lastTotal) * 1000) / passed;
    if (Number.isNaN(this.first) && times.total >= FIRST) this.first = times.median;
    this.last = now;
    this.lastTotal = times.total;
    this.write();
  }

  private write(): void {
    if (find("hud").hidden) return;
    const { viewer, manifests } = this;
    const { backend, threads } = viewer.model;
    const ms = viewer.panes.map(({ times }) => number(times.median)).join(" and ");
    fill(find("hud-figures"), [
      ["Pictures", Number.isNaN(this.rate) ? "–" : `${this.rate.toFixed(0)} a second`],
      ["Network", `${ms} ms, 95 % in ${number(viewer.times.p95)} ms`],
      [
        "Runs on",
        threads > 1
          ? `${BACKEND_NAMES[backend].replace("threads", `${threads} threads`)}`
          : BACKEND_NAMES[backend],
      ],
      ["Precision", manifests.map(({ precision }) => precision).join(" and ")],
      ["Quality", QUALITY_NAMES[viewer.quality]],
    ]);
    const slow = viewer.times.median > SLOWER * this.first;
    text("warm", slow ? `Slower than at the start (${number(this.first)} ms): the device may be warm.` : "");
  }
}

function number(milliseconds: number): string {
  return Number.isNaN(milliseconds) ? "–" : milliseconds.toFixed(1);
}
