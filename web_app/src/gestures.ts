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

export interface Steering {
  /** Gestures count here. */
  surface: HTMLElement;
  camera: OrbitCamera;
  /** Shorter side of the picture, in CSS pixels. */
  side: () => number;
  /** The camera may have moved, or will when the returned function is called. */
  changed: () => void;
  /** A person steers. */
  touched: () => void;
  /** Whether the person asked for no movement that goes on by itself. */
  calm: () => boolean;
}

/**
 * Let a person steer the camera. The returned function is to be called once a frame, before the camera is used. Each finger
 * sends its moves by itself, several at the same time; only together they are a gesture.
 */
export function listen({ surface, camera, side, changed, touched, calm }: Steering): () => void {
  const fingers = new Map<number, Point>();
  let shifting = false; // the mouse: right or middle button, or with Shift
  let last = 0; // seconds, of what the camera knows
  let moved: number | undefined; // seconds, of a move that it does not
  let fewer: number | undefined; // seconds, at which a finger left others behind
  let before = { x: 0, y: 0, spread: 0 };

  const elapsed = (now: number): number => {
    const passed = now - last;
    last = now;
    return passed;
  };
  const hand = (): Point & { spread: number } => {
    const all = [...fingers.values()];
    const [a, b] = all;
    return {
      x: mean(all.map((one) => one.x)),
      y: mean(all.map((one) => one.y)),
      spread: a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0,
    };
  };
  /** With a finger less the rest of the hand begins anew; not where all of it leaves in one frame. */
  const stay = (): void => {
    if (fewer === undefined) return;
    camera.begin();
    last = fewer;
    fewer = undefined;
  };
  const move = (): void => {
    if (moved === undefined) return;
    const after = hand();
    const [dx, dy, dt] = [after.x - before.x, after.y - before.y, elapsed(moved)];
    if (fingers.size === 1 && !shifting) camera.drag(dx, dy, dt);
    else camera.pan(dx, dy, dt);
    if (before.spread > 0 && after.spread > 0) camera.pinch(after.spread / before.spread, dt);
    before = after;
    moved = undefined;
  };
  const apply = (): void => {
    stay();
    move();
  };

  surface.addEventListener("pointerdown", (event) => {
    touched();
    apply();
    surface.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    before = hand();
    shifting = event.button > 0 || event.shiftKey;
    elapsed(event.timeStamp / 1000);
    camera.begin();
    changed();
  });

  surface.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    touched();
    stay();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = event.timeStamp / 1000;
    changed();
  });

  const lift = (event: PointerEvent): void => {
    if (!fingers.has(event.pointerId)) return;
    move();
    fingers.delete(event.pointerId);
    before = hand();
    if (fingers.size > 0) fewer = event.timeStamp / 1000;
    else {
      fewer = undefined;
      if (calm()) camera.begin();
      camera.end(elapsed(event.timeStamp / 1000));
    }
    changed();
  };
  surface.addEventListener("pointerup", lift);
  surface.addEventListener("pointercancel", lift);
  surface.addEventListener("contextmenu", (event) => event.preventDefault());

  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      touched();
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
    const elsewhere = event.target instanceof Element && event.target.closest("dialog, input, select, a");
    if (elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = event.shiftKey && event.key.startsWith("Arrow");
    const move = KEYS[arrow ? `Shift+${event.key}` : event.key];
    if (!move) return;
    event.preventDefault();
    touched();
    move(camera, side() * KEY_STEP);
    changed();
  });
  return apply;
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
