/** The page: opens the bundle that lies beside it, and shows it. */

import { candidates, hasThreads } from "./backends";
import { BundleError } from "./errors";
import { listen } from "./gestures";
import { compareView, type GoldenView, readGolden } from "./golden";
import { type Manifest, type Read, readFile, readManifest, unsupported } from "./Manifest";
import { BACKENDS, type Backend } from "./messages";
import { NelfModel } from "./NelfModel";
import * as page from "./page";
import { Viewer } from "./Viewer";

declare global {
  interface Window {
    /** For tests and the curious: the viewer, once it is open. */
    nelf?: { viewer: Viewer; model: NelfModel; opened: number };
  }
}

const RUNTIME = new URL("./litert/", document.baseURI).href;

/** A file of the bundle, which lies where the page lies. */
const read: Read = async (path) => {
  const url = new URL(path.split("/").map(encodeURIComponent).join("/"), document.baseURI);
  const response = await fetch(url).catch(() => {
    throw new BundleError("unreachable", `${path} cannot be loaded: the server does not answer.`);
  });
  if (response.ok) return new Uint8Array(await response.arrayBuffer());
  if (response.status === 404) return null;
  throw new BundleError("unreachable", `${path} cannot be loaded: the server says ${response.status}.`);
};

interface Opened {
  model: NelfModel;
  /** Why no faster backend is used, a line each. */
  fallbacks: string[];
}

/** The model on the first backend that gives the right picture. */
async function openModel(
  manifest: Manifest,
  first: GoldenView | undefined,
  asked: string | null,
): Promise<Opened> {
  const bytes = await readFile(manifest, manifest.model.path, read);
  const fallbacks: string[] = [];
  for (const backend of await candidates(asked)) {
    try {
      const model = await NelfModel.load(manifest, bytes, backend, RUNTIME);
      if (!first) return { model, fallbacks };
      const { psnr, required } = await compareView(model, first, manifest, read);
      if (psnr >= required) return { model, fallbacks };
      model.release();
      fallbacks.push(`${page.BACKEND_NAMES[backend]} gives a wrong picture (${psnr.toFixed(1)} dB).`);
    } catch (error) {
      if (!(error instanceof BundleError) || error.code !== "runtime_failed") throw error;
      fallbacks.push(`${page.BACKEND_NAMES[backend]}: ${error.message}`);
    }
  }
  throw new BundleError("runtime_failed", fallbacks.join(" "));
}

async function open(): Promise<void> {
  const start = performance.now();
  const manifest = await readManifest(read);
  page.describe(manifest);
  const refused = unsupported(manifest);
  if (refused) throw refused;
  const views = await readGolden(manifest, read);
  const asked = new URLSearchParams(location.search);
  const { model, fallbacks } = await openModel(manifest, views[0], asked.get("backend"));
  const events = { shown: () => page.showTimes(viewer), failed: page.fail };
  const viewer: Viewer = new Viewer(page.canvas, manifest, model, events, asked.get("present") === "webgl");

  viewer.input = listen(page.canvas, viewer.camera, () => viewer.changed(), page.prefersCalm);
  page.layOut(manifest, (width, height, scale) => viewer.resize(width, height, scale));
  page.connect({
    manifest,
    backend: model.backend,
    threads: model.threads,
    fallbacks,
    backends: BACKENDS.filter((one) => one !== "threads" || hasThreads()),
    choose: (backend: Backend) => {
      const url = new URL(location.href);
      url.searchParams.set("backend", backend);
      location.replace(url);
    },
    reset: () => {
      viewer.camera.reset();
      viewer.changed();
    },
    check: () => viewer.check(views, read),
  });
  window.nelf = { viewer, model, opened: performance.now() - start };
  viewer.changed();
}

open().catch(page.fail);
