/** Touch, mouse, wheel and keyboard as calls of an OrbitCamera (docs/viewers.md). */

import type { OrbitCamera } from "./OrbitCamera";

const WHEEL = 500; // pixels of scrolling for a factor of e
const LINE = 16; // pixels, where a wheel counts lines
const KEY_STEP = 0.05; // of the view's shorter side
const KEY_SCALE = 1.1;

interface Point {
  x: number;
  y: number;
}

type Keys = Record<string, (camera: OrbitCamera, step: number) => void>;

const KEYS: Keys = {
  ArrowLeft: (camera, step) => camera.drag(step, 0, 0),
  ArrowRight: (camera, step) => camera.drag(-step, 0, 0),
  ArrowUp: (camera, step) => camera.drag(0, step, 0),
  ArrowDown: (camera, step) => camera.drag(0, -step, 0),
  "Shift+ArrowLeft": (camera, step) => camera.pan(step, 0, 0),
  "Shift+ArrowRight": (camera, step) => camera.pan(-step, 0, 0),
  "Shift+ArrowUp": (camera, step) => camera.pan(0, step, 0),
  "Shift+ArrowDown": (camera, step) => camera.pan(0, -step, 0),
  "+": (camera) => camera.pinch(KEY_SCALE, 0),
  "=": (camera) => camera.pinch(KEY_SCALE, 0),
  "-": (camera) => camera.pinch(1 / KEY_SCALE, 0),
  Home: (camera) => camera.reset(),
  "0": (camera) => camera.reset(),
};

/**
 * Let `surface` steer `camera`. `changed` is called after each call that may have moved it. `calm`: whether the person
 * asked for no movement that goes on by itself.
 */
export function listen(
  surface: HTMLElement,
  camera: OrbitCamera,
  changed: () => void,
  calm: () => boolean,
): void {
  const fingers = new Map<number, Point>();
  let shifting = false; // the mouse: right or middle button, or with Shift
  let last = 0; // seconds

  const elapsed = (event: Event): number => {
    const now = event.timeStamp / 1000;
    const passed = now - last;
    last = now;
    return passed;
  };
  const center = (): Point => {
    const all = [...fingers.values()];
    return { x: mean(all.map((one) => one.x)), y: mean(all.map((one) => one.y)) };
  };
  const spread = (): number => {
    const [a, b] = [...fingers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };

  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    shifting = event.button > 0 || event.shiftKey;
    elapsed(event);
    camera.begin();
    changed();
  });

  surface.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [before, apart] = [center(), spread()];
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const after = center();
    const dt = elapsed(event);
    if (fingers.size === 1 && !shifting) camera.drag(after.x - before.x, after.y - before.y, dt);
    else camera.pan(after.x - before.x, after.y - before.y, dt);
    if (apart > 0 && spread() > 0) camera.pinch(spread() / apart, dt);
    changed();
  });

  const lift = (event: PointerEvent): void => {
    if (!fingers.delete(event.pointerId)) return;
    const dt = elapsed(event);
    if (fingers.size > 0 || calm()) camera.begin();
    if (fingers.size === 0) camera.end(dt);
    changed();
  };
  surface.addEventListener("pointerup", lift);
  surface.addEventListener("pointercancel", lift);
  surface.addEventListener("contextmenu", (event) => event.preventDefault());

  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
      camera.pinch(Math.exp(-pixels / WHEEL), 0);
      changed();
    },
    { passive: false },
  );

  surface.addEventListener("dblclick", () => {
    camera.reset();
    changed();
  });

  document.addEventListener("keydown", (event) => {
    const elsewhere = event.target !== surface && event.target !== document.body;
    if (elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = event.shiftKey && event.key.startsWith("Arrow");
    const move = KEYS[arrow ? `Shift+${event.key}` : event.key];
    if (!move) return;
    event.preventDefault();
    move(camera, Math.min(surface.clientWidth, surface.clientHeight) * KEY_STEP);
    changed();
  });
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
