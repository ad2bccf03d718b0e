/** A browser, and pages in it that remember what went wrong. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { needed } from "./hosts";

const LONG = 80_000; // ms: other work may have this machine
const ARTEFACTS = needed("NELF_ARTEFACTS");

/** No traffic of the browser's own. */
const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A CPU that plays a GPU: WebGL and WebGPU are there, and slow. */
const SOFTWARE_GPU = [
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
];

/** A browser; with `gpu` one that a CPU plays, without it none, as on a machine that has none. `more`: flags. */
export function launch(gpu = true, more: readonly string[] = []): Promise<Browser> {
  const args = [...FLAGS, ...(gpu ? SOFTWARE_GPU : ["--disable-gpu"]), ...more];
  return chromium.launch({ executablePath: needed("NELF_CHROMIUM"), args });
}

/** Files that a host may lack: the page asks, and the browser tells of the 404. */
const MAY_LACK = /\/(manifest|server|bundles|photos)\.json$/;

/** How a page is visited; `asItIs`: with its own choice of a backend, and moving by itself. */
export interface VisitOptions extends BrowserContextOptions {
  asItIs?: boolean;
}

/** A page that remembers what went wrong and which hosts were asked. */
export class Visit {
  readonly complaints: string[] = [];
  readonly origins = new Set<string>();

  private constructor(readonly page: Page) {
    page.on("console", (message) => {
      const expected = message.text().includes("404") && MAY_LACK.test(message.location().url);
      if (message.type() === "error" && !expected) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.context().on("request", (request) => this.origins.add(new URL(request.url()).origin));
  }

  static async to(browser: Browser, url: string, options: VisitOptions = {}): Promise<Visit> {
    const { asItIs = false, ...rest } = options;
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...rest });
    const visit = new Visit(await context.newPage());
    const address = new URL(url);
    if (!asItIs) {
      address.searchParams.set("still", "");
      if (!address.searchParams.has("backend")) address.searchParams.set("backend", "threads");
    }
    await visit.page.goto(address.href);
    return visit;
  }

  /** Wait for the first picture, and for the choice of a backend. */
  async opened(): Promise<this> {
    await this.page.waitForFunction(
      () => window.nelf?.viewer.pose !== undefined || !document.getElementById("error")!.hidden,
      null,
      { timeout: LONG },
    );
    const error = await this.error();
    if (error) throw new Error(`the page shows ${JSON.stringify(error)}`);
    await this.page.evaluate(() => window.nelf!.settled);
    return this;
  }

  /** What the error screen says; null where it is hidden. */
  async error(): Promise<{ code: string; what: string; remedy: string } | null> {
    return this.page.evaluate(() => {
      const said = (id: string) => document.getElementById(id)!.textContent ?? "";
      return document.getElementById("error")!.hidden
        ? null
        : { code: said("error-code"), what: said("error-what"), remedy: said("error-remedy") };
    });
  }

  async failed(): Promise<{ code: string; what: string; remedy: string }> {
    await this.page.locator("#error").waitFor();
    return (await this.error())!;
  }

  state(): Promise<{ pose: number[]; camera: number[]; total: number; backend: string; threads: number }> {
    return this.page.evaluate(() => {
      const { viewer, model } = window.nelf!;
      const { pose, camera, times } = viewer;
      const [shown, c2w] = [[...(pose ?? [])], [...camera.c2w]];
      return { pose: shown, camera: c2w, total: times.total, backend: model.backend, threads: model.threads };
    });
  }

  /** Until the camera is at `pose`. */
  async reaches(pose: readonly number[]): Promise<void> {
    await this.page.waitForFunction(
      (wanted) => window.nelf!.viewer.camera.c2w.every((value, i) => Math.abs(value - wanted[i]!) < 1e-6),
      [...pose],
      { timeout: 10_000 },
    );
  }

  /** Until the camera stands still and its picture is shown. */
  async settled(): Promise<void> {
    await this.page.waitForFunction(
      () => {
        const { viewer } = window.nelf!;
        return !viewer.camera.moving && String(viewer.camera.c2w) === String(viewer.pose);
      },
      null,
      { timeout: LONG },
    );
  }

  /** A picture of the page for people to look at, kept in runs/web. */
  async screenshot(name: string): Promise<Buffer> {
    mkdirSync(ARTEFACTS, { recursive: true });
    return this.page.screenshot({ path: join(ARTEFACTS, `${name}.png`) });
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}
