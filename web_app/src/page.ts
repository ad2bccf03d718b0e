/** What of the page the viewer fills in: names, numbers, dialogs, errors. */

import { BundleError } from "./errors";
import type { Comparison } from "./golden";
import type { Manifest } from "./Manifest";
import type { Backend } from "./messages";
import type { Viewer } from "./Viewer";

export const BACKEND_NAMES: Record<Backend, string> = {
  webgpu: "GPU (WebGPU)",
  threads: "CPU (WebAssembly, threads)",
  wasm: "CPU (WebAssembly, one thread)",
};

const HUD_INTERVAL = 250; // ms between changes of the numbers: they are to be read
const MOST_LOST = 0.12; // of the size that may be lost to have whole screen pixels for a picture's

export const canvas = find<HTMLCanvasElement>("picture");

function find<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function text(id: string, content: string): void {
  find(id).textContent = content;
}

export function prefersCalm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

export function describe(manifest: Manifest): void {
  const { width, height } = manifest.image;
  document.title = `${manifest.name} · nelf`;
  text("name", manifest.name);
  text("about", `${width} × ${height}`);
  canvas.setAttribute("aria-label", `The scene ${manifest.name}, seen from a camera that you can move`);
  text("progress", "Loading the network");
}

/** Keep the canvas as large as the stage allows, without distortion; `resized` gets its size in CSS pixels. */
export function layOut(
  { image }: Manifest,
  resized: (width: number, height: number, scale: number) => void,
): void {
  const stage = find("stage");
  new ResizeObserver(() => {
    const scale = devicePixelRatio;
    const fit = Math.min(stage.clientWidth / image.width, stage.clientHeight / image.height);
    const whole = Math.floor(fit * scale) / scale;
    const factor = whole > fit * (1 - MOST_LOST) ? whole : fit;
    const [width, height] = [image.width * factor, image.height * factor];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    resized(width, height, scale);
  }).observe(stage);
}

let lastHud = 0;
let lastTotal = 0;

/** The numbers below the picture, and the picture instead of the cover. */
export function showTimes(viewer: Viewer): void {
  find("cover").hidden = true;
  const now = performance.now();
  const passed = now - lastHud;
  if (passed < HUD_INTERVAL) return;
  const { times, quality } = viewer;
  const rate = ((times.total - lastTotal) * 1000) / passed;
  text("median", `${times.median.toFixed(1)} ms`);
  text("p95", `${times.p95.toFixed(1)} ms`);
  // A rate is that of movement: across a pause it would say how long nobody touched the page.
  if (passed < 4 * HUD_INTERVAL)
    text("rate", `${rate.toFixed(0)} / s${quality === "warped" ? ", warped" : ""}`);
  lastHud = now;
  lastTotal = times.total;
}

export interface Controls {
  manifest: Manifest;
  backend: Backend;
  threads: number;
  fallbacks: readonly string[];
  backends: readonly Backend[];
  choose: (backend: Backend) => void;
  reset: () => void;
  check: () => AsyncGenerator<Comparison>;
}

export function connect(controls: Controls): void {
  const { manifest, backend, threads, fallbacks, backends } = controls;
  text("backend", threads > 1 ? `CPU, ${threads} threads` : backend === "webgpu" ? "GPU" : "CPU, 1 thread");
  text("fallbacks", fallbacks.join(" "));
  fill(find("facts"), facts(manifest));
  find("backend-choice").replaceChildren(
    ...backends.map((one) => new Option(BACKEND_NAMES[one], one, one === backend, one === backend)),
  );
  find("backdrop-label").hidden = manifest.image.channels === 3;
  on("reset", "click", controls.reset);
  on("backend-choice", "change", () =>
    controls.choose(find<HTMLSelectElement>("backend-choice").value as Backend),
  );
  const showBackdrop = () => {
    const [r, g, b] = manifest.image.background.map((value) => Math.round(value * 255));
    const scene = find<HTMLSelectElement>("backdrop").value === "scene";
    canvas.style.setProperty("--backdrop", scene ? `rgb(${r} ${g} ${b})` : "transparent");
  };
  showBackdrop();
  on("backdrop", "change", showBackdrop);
  on("details", "click", () => find<HTMLDialogElement>("details-dialog").showModal());
  on("check", "click", () => void runCheck(controls.check()));
  for (const id of ["reset", "check", "details"]) find<HTMLButtonElement>(id).disabled = false;
}

function on(id: string, event: string, call: () => void): void {
  find(id).addEventListener(event, call);
}

function facts({
  name,
  scene_type,
  image,
  precision,
  student,
  target,
  version,
}: Manifest): [string, string][] {
  const millions = (count: number) => `${(count / 1e6).toFixed(count < 1e7 ? 2 : 0)} million`;
  return [
    ["Scene", `${name}, ${scene_type}`],
    ["Picture", `${image.width} × ${image.height}, ${image.channels === 4 ? "RGBA" : "RGB"}`],
    ["Network", `${student.name}, ${millions(student.parameters)} parameters`],
    ["Work", `${millions(student.macs)} multiply-adds a picture`],
    ["Bundle", `for ${target}, ${precision}, format ${version}`],
  ];
}

function fill(list: HTMLElement, entries: readonly [string, string][]): void {
  const element = (tag: string, content: string) =>
    Object.assign(document.createElement(tag), { textContent: content });
  list.replaceChildren(...entries.flatMap(([term, value]) => [element("dt", term), element("dd", value)]));
}

async function runCheck(comparisons: AsyncGenerator<Comparison>): Promise<void> {
  const dialog = find<HTMLDialogElement>("check-dialog");
  const rows = find<HTMLTableSectionElement>("check-rows");
  const button = find<HTMLButtonElement>("check");
  rows.replaceChildren();
  text("check-result", "Checking");
  button.disabled = true;
  dialog.showModal();
  try {
    let count = 0;
    let worst = Number.POSITIVE_INFINITY;
    let needed = 0;
    for await (const { view, psnr, required } of comparisons) {
      const row = rows.insertRow();
      const passed = psnr >= required;
      needed = required;
      row.insertCell().textContent = view;
      row.insertCell().textContent = `${psnr.toFixed(1)} dB`;
      row.insertCell().textContent = passed ? "passed" : "failed";
      row.cells[2]!.className = passed ? "pass" : "fail";
      count++;
      worst = Math.min(worst, psnr);
    }
    const verdict = worst >= needed ? "All right" : "Not right";
    const asked = `at least ${Number(needed.toFixed(1))} dB are asked for`;
    text("check-result", `${verdict}: ${count} views, ${worst.toFixed(1)} dB or more; ${asked}.`);
  } catch (error) {
    const { message, remedy } = asBundleError(error);
    text("check-result", `The check stopped. ${message} ${remedy}`);
  } finally {
    button.disabled = false;
  }
}

/** Say what is wrong and what to do, instead of the picture. */
export function fail(error: unknown): void {
  const { code, message, remedy } = asBundleError(error);
  text("error-what", message);
  text("error-remedy", remedy);
  text("error-code", code);
  find("progress").hidden = true;
  find("error").hidden = false;
  find("cover").hidden = false;
  find("retry").onclick = () => location.reload();
}

function asBundleError(error: unknown): BundleError {
  if (error instanceof BundleError) return error;
  return new BundleError("runtime_failed", error instanceof Error ? `${error.message}.` : String(error));
}
