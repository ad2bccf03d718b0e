/** What of the page the viewer fills in: names, progress, dialogs, errors. */

import { type Attempt, BACKEND_NAMES } from "./backends";
import { element, fill, find, on, show, text } from "./elements";
import { BundleError } from "./errors";
import type { Comparison } from "./golden";
import type { Manifest } from "./Manifest";
import type { Backend } from "./messages";
import { OFFLINE_NAMES, type Offline } from "./offline";

const MOST_LOST = 0.12; // of the size that may be lost to have whole screen pixels for a picture's
/** How much larger a picture may get that fills the screen: more would show a strip of it. */
const MOST_FILLED = 1.6;

export const canvas = find<HTMLCanvasElement>("picture");

export function describe({ name, image, student, precision }: Manifest): void {
  document.title = `${name} · nelf`;
  text("name", name);
  text("about", `${student.name}, ${precision}, ${image.width} × ${image.height}`);
  canvas.setAttribute("aria-label", `The scene ${name}, seen from a camera that you can move`);
}

/** What is being loaded, and how much of it is here; NaN: not known. */
export function progress(what: string, bytes = Number.NaN, total = Number.NaN): void {
  const bar = find<HTMLProgressElement>("progress-bar");
  const megabytes = (count: number) => (count / 1e6).toFixed(1);
  const known = total > 0;
  bar.max = known ? total : 1;
  if (known) bar.value = bytes;
  else bar.removeAttribute("value");
  const amount = known ? `: ${megabytes(bytes)} of ${megabytes(total)} MB` : "";
  text("progress", Number.isNaN(bytes) || known ? `${what}${amount}` : `${what}: ${megabytes(bytes)} MB`);
}

/**
 * Keep the canvases as large as the stage allows, without distortion. `resized` gets their size in CSS pixels. On request
 * they fill the stage, and their edges lie outside; scenes without an outline do so in portrait from the start.
 */
export function layOut(
  { image }: Manifest,
  canvases: readonly HTMLCanvasElement[],
  resized: (width: number, height: number, scale: number) => void,
): void {
  const stage = find("stage");
  let filled = image.channels === 3 && stage.clientHeight > stage.clientWidth;
  const arrange = () => {
    const scale = devicePixelRatio;
    const [across, down] = [stage.clientWidth / image.width, stage.clientHeight / image.height];
    const fit = Math.min(across, down);
    const whole = Math.floor(fit * scale) / scale;
    const inside = whole > fit * (1 - MOST_LOST) ? whole : fit;
    const factor = filled ? Math.min(Math.max(across, down), MOST_FILLED * fit) : inside;
    const [width, height] = [image.width * factor, image.height * factor];
    for (const { style } of canvases) {
      style.width = `${width}px`;
      style.height = `${height}px`;
    }
    stage.style.setProperty("--width", `${Math.min(width, stage.clientWidth)}px`);
    find("fill").setAttribute("aria-pressed", String(filled));
    resized(width, height, scale);
  };
  on("fill", "click", () => {
    filled = !filled;
    arrange();
  });
  new ResizeObserver(arrange).observe(stage);
}

export interface Details {
  manifest: Manifest;
  backend: Backend;
  attempts: readonly Attempt[];
  backends: readonly Backend[];
  choose: (backend: Backend | "") => void;
  asked: string | null;
  check: () => AsyncGenerator<Comparison>;
}

export function connectDetails(details: Details): void {
  const { manifest, backends, asked } = details;
  fill(find("facts"), facts(manifest));
  find("backend-choice").replaceChildren(
    new Option("the fastest here", "", !asked, !asked),
    ...backends.map((one) => new Option(BACKEND_NAMES[one], one, one === asked, one === asked)),
  );
  show("backdrop-label", manifest.image.channels === 4);
  on("backend-choice", "change", () =>
    details.choose(find<HTMLSelectElement>("backend-choice").value as Backend | ""),
  );
  const showBackdrop = () => {
    const [r, g, b] = manifest.image.background.map((value) => Math.round(value * 255));
    const scene = find<HTMLSelectElement>("backdrop").value === "scene";
    find("stage").style.setProperty("--backdrop", scene ? `rgb(${r} ${g} ${b})` : "transparent");
  };
  showBackdrop();
  on("backdrop", "change", showBackdrop);
  const dialog = find<HTMLDialogElement>("details-dialog");
  on("details", "click", () => dialog.showModal());
  on("check", "click", () => {
    dialog.close();
    void runCheck(details.check());
  });
  for (const id of ["check", "details"]) find<HTMLButtonElement>(id).disabled = false;
  showAttempts(details.backend, details.attempts);
}

/** Which backends were considered, what came of them, and which one runs. */
export function showAttempts(chosen: Backend, attempts: readonly Attempt[]): void {
  const lines = attempts.map(({ backend, milliseconds, psnr, reason }) => {
    const figures = [
      ...(milliseconds === undefined ? [] : [`${milliseconds.toFixed(1)} ms`]),
      ...(psnr === undefined || reason ? [] : [`${psnr.toFixed(1)} dB to PyTorch`]),
      ...(reason ? [reason] : []),
      ...(backend === chosen ? ["in use"] : []),
    ];
    return element("li", `${BACKEND_NAMES[backend]}: ${figures.join(", ")}`);
  });
  find("attempts").replaceChildren(...lines);
}

export function showOffline(state: Offline): void {
  text("offline", OFFLINE_NAMES[state]);
  find("offline").dataset.state = state;
  show("authority", state === "certificate");
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
  show("viewer");
  text("error-what", message);
  text("error-remedy", remedy);
  text("error-code", code);
  show("loading", false);
  show("error");
  show("cover");
  find("retry").onclick = () => location.reload();
}

/** What the scene would look like, on the page of an error: RGB or premultiplied RGBA, 8 bits. */
export function showGolden({ image }: Manifest, bytes: Uint8Array): void {
  const picture = find<HTMLCanvasElement>("error-picture");
  const { width, height, channels } = image;
  Object.assign(picture, { width, height });
  const straight = new ImageData(width, height);
  for (let from = 0, to = 0; from < bytes.length; from += channels, to += 4) {
    const alpha = channels === 4 ? bytes[from + 3]! : 255;
    for (let c = 0; c < 3; c++) straight.data[to + c] = alpha && (bytes[from + c]! * 255) / alpha;
    straight.data[to + 3] = alpha;
  }
  picture.getContext("2d")!.putImageData(straight, 0, 0);
  show("error-view");
}

function asBundleError(error: unknown): BundleError {
  if (error instanceof BundleError) return error;
  return new BundleError("runtime_failed", error instanceof Error ? `${error.message}.` : String(error));
}
