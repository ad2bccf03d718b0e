/** A browser, servers and bundles for the tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const ROOT = join(import.meta.dirname, "../..");
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

export interface Manifest {
  name: string;
  version: string;
  target: string;
  files: { path: string; bytes: number; sha256: string }[];
  [key: string]: unknown;
}

function needed(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set; run the tests with: make webtest`);
  return value;
}

/** A browser; with `gpu` one that a CPU plays, without it none, as on a machine that has none. */
export function launch(gpu = true): Promise<Browser> {
  const args = [...FLAGS, ...(gpu ? SOFTWARE_GPU : ["--disable-gpu"])];
  return chromium.launch({ executablePath: needed("NELF_CHROMIUM"), args });
}

export function bundle(name: string): string {
  return join(needed("NELF_BUNDLES"), name);
}

/** A copy of a bundle, changed. */
export function changedBundle(name: string, change: (folder: string) => void): string {
  const folder = join(mkdtempSync(join(tmpdir(), "nelf-web-")), name);
  cpSync(bundle(name), folder, { recursive: true });
  change(folder);
  return folder;
}

/** Change a manifest; sizes and hashes of its files are made right. */
export function changeManifest(folder: string, change: (manifest: Manifest) => void): void {
  const path = join(folder, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  for (const file of manifest.files) {
    const bytes = readFileSync(join(folder, file.path));
    file.bytes = bytes.length;
    file.sha256 = createHash("sha256").update(bytes).digest("hex");
  }
  change(manifest);
  writeFileSync(path, JSON.stringify(manifest));
}

export interface Served {
  url: string;
  close: () => Promise<void>;
}

/** `nelf view FOLDER` (or an option in its place), as a person starts it. */
export async function nelfView(folder: string): Promise<Served> {
  const options = {
    env: { ...process.env, PYTHONPATH: ROOT },
    stdio: ["ignore", "pipe", "inherit"] as const,
  };
  const arguments_ = ["-m", "nelf.cli.main", "view", folder, "--no-open"];
  const child = spawn(needed("NELF_PYTHON"), arguments_, { ...options, stdio: ["ignore", "pipe", "ignore"] });
  const url = await firstLine(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    url,
    close: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout!.once("data", (data: Buffer) => resolve(data.toString().split("\n")[0]!));
    child.once("exit", (code) => reject(new Error(`nelf view ended with code ${code}`)));
  });
}

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Any host of files, below a path (as people write it): no header that helps, no type for what it does not know. */
export async function plainHost(folder: string, prefix = "/"): Promise<Served> {
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://host").pathname);
    const name = path.slice(prefix.length) || "index.html";
    try {
      const body = readFileSync(join(folder, name));
      const type = TYPES[extname(name)];
      response.writeHead(path.startsWith(prefix) ? 200 : 404, type ? { "content-type": type } : {});
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${encodeURI(prefix)}`;
  return {
    url,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** A page that remembers what went wrong and which hosts were asked. */
export class Visit {
  readonly complaints: string[] = [];
  readonly origins = new Set<string>();

  private constructor(readonly page: Page) {
    page.on("console", (message) => {
      if (message.type() === "error") this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.context().on("request", (request) => this.origins.add(new URL(request.url()).origin));
  }

  static async to(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const visit = new Visit(await context.newPage());
    await visit.page.goto(url);
    return visit;
  }

  /** Wait for the first picture. */
  async opened(): Promise<this> {
    await this.page.waitForFunction(
      () => window.nelf?.viewer.pose !== undefined || !document.getElementById("error")!.hidden,
      null,
      { timeout: LONG },
    );
    const error = await this.error();
    if (error) throw new Error(`the page shows ${JSON.stringify(error)}`);
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
