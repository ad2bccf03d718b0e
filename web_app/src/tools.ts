/** The buttons around the picture: nearer, farther, reset, full screen, save, share, gyroscope, fill. */

import { find, on, say, show, text } from "./elements";
import { Gyroscope, hasGyroscope } from "./gyroscope";
import type { Manifest } from "./Manifest";
import { poseHash, readHash } from "./pose_link";
import type { Viewer } from "./Viewer";

const ZOOM = 1.25;

export interface Tools {
  viewer: Viewer;
  manifest: Manifest;
  canvases: readonly HTMLCanvasElement[];
  /** Somebody steers. */
  touched: () => void;
  /** Shorter side of the picture, CSS pixels. */
  side: () => number;
}

export function connectTools(tools: Tools): void {
  const { viewer, manifest, touched } = tools;
  const move = (change: () => void) => () => {
    touched();
    change();
    viewer.changed();
  };
  on(
    "nearer",
    "click",
    move(() => viewer.camera.pinch(ZOOM, 0)),
  );
  on(
    "farther",
    "click",
    move(() => viewer.camera.pinch(1 / ZOOM, 0)),
  );
  on(
    "reset",
    "click",
    move(() => viewer.camera.reset()),
  );
  on("save", "click", () => void save(tools));
  on("share", "click", () => void share(manifest, viewer));
  addEventListener(
    "hashchange",
    move(() => openLink(tools)),
  );
  fullScreen();
  gyroscope(tools);
  for (const button of document.querySelectorAll<HTMLButtonElement>("#tools button, #side-tools button")) {
    button.disabled = false;
  }
}

/** Go where the URL's hash says. Returns whether it says a view. */
export function openLink({ viewer, manifest }: Pick<Tools, "viewer" | "manifest">): boolean {
  const link = readHash(manifest, location.hash);
  if (!link) return false;
  if (!viewer.camera.restore(link.state)) say("This link is not of this scene, so you see its start.");
  else if (!link.current) say("The scene has changed since this link was made.");
  return true;
}

async function share(manifest: Manifest, viewer: Viewer): Promise<void> {
  const url = new URL(location.href);
  url.hash = poseHash(manifest, viewer.camera.state);
  history.replaceState(null, "", url); // no hashchange: the view is there already
  const data = { title: document.title, url: url.href };
  if (matchMedia("(pointer: coarse)").matches && navigator.canShare?.(data)) {
    await navigator.share(data).catch(() => undefined); // somebody changed their mind
    return;
  }
  const copied = await navigator.clipboard?.writeText(url.href).then(
    () => true,
    () => false,
  );
  say(copied ? "The link to this view is copied." : "The link to this view is in the address bar.");
}

async function save({ viewer, manifest, canvases }: Tools): Promise<void> {
  const [first, second] = canvases;
  const { width, height } = first!;
  const whole = Object.assign(document.createElement("canvas"), { width, height });
  const context = whole.getContext("2d")!;
  viewer.repaint(); // WebGL keeps a picture until the end of the task only
  context.drawImage(first!, 0, 0);
  if (second) {
    const visible = Math.min(find("stage").clientWidth / first!.clientWidth, 1);
    const line = (0.5 + (find<HTMLInputElement>("split").valueAsNumber / 100 - 0.5) * visible) * width;
    context.clearRect(line, 0, width - line, height);
    context.beginPath();
    context.rect(line, 0, width - line, height);
    context.clip();
    context.drawImage(second, 0, 0, width, height);
  }
  const blob = await new Promise<Blob | null>((resolve) => whole.toBlob(resolve, "image/png"));
  if (!blob) {
    say("The browser cannot make a picture of this view.");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${manifest.name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved as ${link.download}.`);
}

function fullScreen(): void {
  show("full", document.fullscreenEnabled === true);
  on("full", "click", () => {
    const change = document.fullscreenElement
      ? document.exitFullscreen()
      : document.documentElement.requestFullscreen();
    void change.catch(() => say("The browser refuses full screen here."));
  });
  document.addEventListener("fullscreenchange", () => {
    text("full-word", document.fullscreenElement ? "Leave full screen" : "Full screen");
    find("full").setAttribute("aria-pressed", String(document.fullscreenElement !== null));
  });
}

function gyroscope({ viewer, touched, side }: Tools): void {
  show("gyroscope", hasGyroscope());
  const sensor = new Gyroscope(viewer.camera, side, () => viewer.changed());
  let running = false;
  const toggle = async () => {
    touched();
    if (running) sensor.stop();
    else {
      const refused = await sensor.start();
      if (refused) {
        say(`${refused}.`);
        return;
      }
      say("Turn the phone to look around.");
    }
    running = !running;
    find("gyroscope").setAttribute("aria-pressed", String(running));
  };
  on("gyroscope", "click", () => void toggle());
}
