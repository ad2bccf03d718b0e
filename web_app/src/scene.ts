/** Opens one bundle, or two to compare, and connects the viewer with the page. */

import { AutoOrbit } from "./auto_orbit";
import { noThreads } from "./backends";
import { type Choice, firstRight, measureOthers, type Source } from "./choice";
import { find, on, prefersCalm, recalls, remembers, show } from "./elements";
import { createRenderer } from "./FrameRenderer";
import { listen } from "./gestures";
import { readGolden } from "./golden";
import { Hud } from "./hud";
import { explained, type Manifest, modelFile, readManifest, unsupported } from "./Manifest";
import { BACKENDS } from "./messages";
import type { NelfModel } from "./NelfModel";
import { keep, type Offline } from "./offline";
import * as page from "./page";
import { nearestPhoto } from "./photo";
import { reader } from "./site";
import { splitScreen } from "./split";
import { connectTools, openLink, type Tools } from "./tools";
import { Pane, Viewer } from "./Viewer";
import { WakeLock } from "./wake_lock";

const HINTED = "nelf knows how to move";
const HINT_TIME = 6000; // ms
/** Of the view's side, that a move must push beyond the region to be told. */
const PUSHED = 0.003;
const GLOW = 350; // ms

interface Bundle extends Source {
  base: URL;
  choice: Choice;
}

export interface Scene {
  viewer: Viewer;
  readonly model: NelfModel;
  /** Milliseconds from the start to the open viewer. */
  opened: number;
  /** When the backends are measured. */
  settled: Promise<void>;
  /** Keep it for use without a network. */
  keep: () => Promise<Offline>;
}

/** Open the bundles in these folders: the first alone, or with another at its right. Throws a BundleError. */
export async function openScene(bases: readonly URL[], asked: URLSearchParams): Promise<Scene> {
  const start = performance.now();
  const bundles: Bundle[] = [];
  for (const base of bases) bundles.push(await openBundle(base, asked.get("backend"), bundles.length > 0));
  const [first, second] = bundles;
  const { manifest, views, read, choice } = first!;
  const canvases = [page.canvas, find<HTMLCanvasElement>("other")].slice(0, bundles.length);
  const insist = asked.get("present") === "webgl";
  const panes = bundles.map(
    (bundle, i) =>
      new Pane(
        bundle.choice.model,
        createRenderer(canvases[i]!, bundle.manifest.image, () => viewer.repaint(), insist),
      ),
  );
  let shown: () => void = () => undefined;
  const firstPicture = new Promise<void>((resolve) => {
    shown = resolve;
  });
  const viewer: Viewer = new Viewer(manifest, panes, {
    shown: () => {
      show("cover", false);
      shown();
      hud.update();
      updatePhoto();
    },
    failed: page.fail,
  });
  const hud = new Hud(
    viewer,
    bundles.map((one) => one.manifest),
  );
  let updatePhoto: () => void = () => undefined;
  void nearestPhoto(() => viewer.camera.c2w).then((update) => {
    updatePhoto = update;
  });
  const side = () => Math.min(page.canvas.clientWidth, page.canvas.clientHeight);
  const steering = steer(viewer, manifest, side);
  page.layOut(manifest, canvases, (width, height, scale) => viewer.resize(width, height, scale));
  if (second) splitScreen(label(manifest), label(second.manifest));
  const tools: Tools = { viewer, manifest, canvases, side, touched: steering.touched };
  connectTools(tools);
  const linked = openLink(tools);
  page.connectDetails({
    manifest,
    backend: choice.model.backend,
    attempts: choice.attempts,
    backends: BACKENDS.filter((one) => one !== "threads" || !noThreads()),
    asked: asked.get("backend"),
    choose: (backend) => {
      const url = new URL(location.href);
      if (backend) url.searchParams.set("backend", backend);
      else url.searchParams.delete("backend");
      location.replace(url);
    },
    check: () => viewer.check(views, read),
  });
  viewer.changed();
  const settled = firstPicture.then(async () => {
    if (!second && !asked.has("backend")) {
      await measureOthers(choice, first!, viewer, () => !steering.wasTouched());
      page.showAttempts(viewer.model.backend, choice.attempts);
      hud.restart();
    }
    if (!linked && !asked.has("still")) steering.orbit();
  });
  settled.catch(page.fail);
  return {
    viewer,
    get model() {
      return viewer.model;
    },
    opened: performance.now() - start,
    settled,
    keep: async () => {
      let state: Offline = "kept";
      for (const { manifest, base, read, choice } of bundles) {
        if (state !== "kept") break;
        const runtime = panes.flatMap((pane) => pane.model.files);
        state = await keep({ manifest, base, read, model: choice.bytes, runtime });
      }
      return state;
    },
  };
}

async function openBundle(base: URL, backend: string | null, compared: boolean): Promise<Bundle> {
  page.progress("Opening the bundle");
  let total = Number.NaN;
  let path = "";
  const read = reader(base, (name, bytes) => {
    if (name === path) page.progress("Loading the network", bytes, total);
  });
  const manifest = await readManifest(read);
  if (!compared) page.describe(manifest);
  const refused = unsupported(manifest);
  if (refused) throw refused;
  path = modelFile(manifest);
  total = manifest.files.find((file) => file.path === path)?.bytes ?? total;
  const arrived = (bytes: number, of: number) => page.progress("Loading the runtime", bytes, of);
  try {
    const source: Source = { manifest, views: await readGolden(manifest, read), read, arrived };
    return { ...source, base, choice: await firstRight(source, backend) };
  } catch (error) {
    throw await explained(error, manifest, read);
  }
}

function label({ name, student, precision }: Manifest): string {
  return `${name} ${student.name} ${precision}`;
}

/** What moves the camera: a person, or at first the page by itself. */
function steer(viewer: Viewer, manifest: Manifest, side: () => number) {
  const wake = new WakeLock();
  const auto = new AutoOrbit(viewer.camera, manifest.region, side);
  let touches = 0;
  const touched = () => {
    wake.moved();
    if (touches++ > 0) return;
    auto.active = false;
    show("hint", false);
    remembers(HINTED);
  };
  const surface = find("surface");
  const changed = () => viewer.changed();
  const apply = listen({ surface, camera: viewer.camera, side, changed, calm: prefersCalm, touched });
  let glowing: ReturnType<typeof setTimeout> | undefined;
  viewer.input = (passed) => {
    apply();
    const moving = auto.step(passed);
    if (viewer.camera.takeEdge() > PUSHED) {
      find("stage").classList.add("edge");
      clearTimeout(glowing);
      glowing = setTimeout(() => find("stage").classList.remove("edge"), GLOW);
    }
    return moving;
  };
  const orbit = () => {
    if (touches > 0) return;
    if (!recalls(HINTED)) {
      show("hint");
      setTimeout(show, HINT_TIME, "hint", false);
    }
    if (prefersCalm()) return;
    auto.active = true;
    viewer.changed();
  };
  on("details", "click", () => {
    auto.active = false;
  });
  return { touched, orbit, wasTouched: () => touches > 0 };
}
