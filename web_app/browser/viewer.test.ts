import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Manifest } from "../src/Manifest";
import { OrbitCamera } from "../src/OrbitCamera";
import {
  bundle,
  changedBundle,
  changeManifest,
  launch,
  nelfView,
  plainHost,
  type Served,
  Visit,
} from "./helpers";

let browser: Browser;
let demo: Served;
const open: (Served | Visit)[] = [];

beforeAll(async () => {
  browser = await launch();
  demo = await nelfView(bundle("demo"));
});

afterAll(async () => {
  await browser.close();
  await demo.close();
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function visit(url: string, options = {}): Promise<Visit> {
  const made = await Visit.to(browser, url, options);
  open.push(made);
  return made;
}

async function served(server: Promise<Served>): Promise<Served> {
  const made = await server;
  open.push(made);
  return made;
}

async function checkResult(page: Visit["page"]): Promise<string> {
  await page.getByRole("button", { name: "Check" }).click();
  const result = page.locator("#check-result");
  await page.waitForFunction(() => document.getElementById("check-result")!.textContent !== "Checking");
  return (await result.textContent()) ?? "";
}

/** A camera beside the page's, with the same view: src/OrbitCamera, which tests/vectors hold to Python's. */
async function cameraBeside({ page }: Visit): Promise<OrbitCamera> {
  const { manifest, width, height } = await page.evaluate(async () => {
    const { clientWidth, clientHeight } = document.getElementById("picture")!;
    return {
      manifest: await (await fetch("manifest.json")).json(),
      width: clientWidth,
      height: clientHeight,
    };
  });
  const camera = new OrbitCamera(manifest as Manifest);
  camera.resize(width, height);
  return camera;
}

/** Of the canvas on the page, 0 to 255, from a screenshot. */
async function meanColour({ page }: Visit): Promise<number[]> {
  const screenshot = (await page.locator("#picture").screenshot()).toString("base64");
  return page.evaluate(async (base64) => {
    const file = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([file]));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    return [0, 1, 2].map(
      (c) => data.reduce((sum, v, i) => sum + (i % 4 === c ? v : 0), 0) / (data.length / 4),
    );
  }, screenshot);
}

/** Shows noise, and compares the canvas over white with the bilinear enlargement that it should be: 0 to 255. */
function farthestFromBilinear({ page }: Visit): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.getElementById("picture") as HTMLCanvasElement;
    const side = 128;
    let state = 1;
    const pixels = new Uint8ClampedArray(side * side * 4);
    for (let i = 0; i < pixels.length; i += 4) {
      const next = () => {
        state = (state * 48271) % 2147483647;
        return state / 2147483647;
      };
      pixels[i + 3] = 255 * next();
      for (let j = i; j < i + 3; j++) pixels[j] = pixels[i + 3]! * next();
    }
    window.nelf!.viewer.renderer.present({ type: "picture", pixels, milliseconds: 0 });
    const { width, height } = canvas;
    const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d")!;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const at = (x: number, y: number, c: number) => {
      const i = 4 * (Math.min(Math.max(y, 0), side - 1) * side + Math.min(Math.max(x, 0), side - 1));
      return pixels[i + c]! + 255 - pixels[i + 3]!;
    };
    let farthest = 0;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [x, y] = [((column + 0.5) / width) * side - 0.5, ((row + 0.5) / height) * side - 0.5];
        const [left, top] = [Math.floor(x), Math.floor(y)];
        const [u, v] = [x - left, y - top];
        for (let c = 0; c < 3; c++) {
          const above = at(left, top, c) * (1 - u) + at(left + 1, top, c) * u;
          const below = at(left, top + 1, c) * (1 - u) + at(left + 1, top + 1, c) * u;
          const found = data[4 * (row * width + column) + c]!;
          farthest = Math.max(farthest, Math.abs(found - above * (1 - v) - below * v));
        }
      }
    }
    return farthest;
  });
}

function expectPose(found: readonly number[], expected: readonly number[]): void {
  expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-6);
}

describe.each(["threads", "wasm", "webgpu"])("backend %s", (backend) => {
  test("golden views within 40 dB, nothing complained of, no other host asked", async () => {
    const { page, complaints, origins } = await (await visit(`${demo.url}?backend=${backend}`)).opened();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await page.evaluate(() => window.nelf!.model.backend)).toBe(backend);
    const said = await checkResult(page);
    expect(said).toMatch(/^All right: 8 views, [\d.]+ dB or more/);
    expect(Number(/([\d.]+) dB or more/.exec(said)![1])).toBeGreaterThan(40);
    expect(await page.locator("#check-rows tr").count()).toBe(8);
    expect(complaints).toEqual([]);
    expect([...origins]).toEqual([new URL(demo.url).origin]);
    if (backend === "threads") await open.find((one) => one instanceof Visit)!.screenshot("check");
  });
});

test("a student of another family shows what PyTorch shows", async () => {
  const server = await served(nelfView(bundle("constant")));
  const { page, complaints } = await (await visit(server.url)).opened();
  const said = await checkResult(page);
  expect(said).toMatch(/^All right: 8 views, [\d.]+ dB or more/);
  expect(Number(/([\d.]+) dB or more/.exec(said)![1])).toBeGreaterThan(40);
  expect(complaints).toEqual([]);
});

test("a software GPU is left alone, and shared memory used where there is a second core", async () => {
  const page = await (await visit(demo.url)).opened();
  const cores = await page.page.evaluate(() => navigator.hardwareConcurrency);
  const { backend, threads } = await page.state();
  expect(backend).toBe(cores > 1 ? "threads" : "wasm");
  expect(threads).toBe(Math.min(cores, 4));
});

test("a drag goes where the vectors' camera goes, changes the picture, and ends in rest", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  expectPose((await shown.state()).camera, camera.c2w);
  const picture = page.locator("#picture");
  const before = await picture.screenshot();

  await page.mouse.move(600, 400);
  await page.mouse.down();
  for (const [x, y] of [[640, 410], [700, 380], [560, 430]] as const) await page.mouse.move(x, y); // biome-ignore format: a path
  camera.drag(-40, 30, 0); // the same in one move, since no limit is met on the way
  await shown.reaches(camera.c2w);
  await page.waitForTimeout(400); // a hand that rests gives no swing
  await page.mouse.up();
  await shown.settled();
  expectPose((await shown.state()).pose, camera.c2w);
  expect(Buffer.compare(await picture.screenshot(), before)).not.toBe(0);

  const { total } = await shown.state();
  await page.waitForTimeout(1000);
  expect((await shown.state()).total, "pictures while nothing moves").toBe(total);
});

/** Where a finger, or the mouse, is after some milliseconds. */
type Path = (ms: number) => [number, number];

/** Fingers (or the mouse) that go along `at` for 128 ms, and let go. */
async function swing({ page }: Visit, kind: "mouse" | "touch", ...at: Path[]): Promise<void> {
  const client = await page.context().newCDPSession(page);
  const start = Date.now();
  const send = (type: "Start" | "Move" | "End", ms: number): Promise<unknown> => {
    const timestamp = (start + ms) / 1000; // when it happened, however late it arrives
    const points = at.map((of, id) => ({ x: of(ms)[0], y: of(ms)[1], id }));
    if (kind === "touch") {
      const touchPoints = type === "End" ? [] : points;
      return client.send("Input.dispatchTouchEvent", { type: `touch${type}`, touchPoints, timestamp });
    }
    const types = { Start: "mousePressed", Move: "mouseMoved", End: "mouseReleased" } as const;
    const button = { button: "left", buttons: type === "End" ? 0 : 1, clickCount: 1 } as const;
    return client.send("Input.dispatchMouseEvent", {
      type: types[type],
      ...points[0]!,
      ...button,
      timestamp,
    });
  };
  await send("Start", 0);
  for (let ms = 16; ms <= 128; ms += 16) await send("Move", ms);
  await send("End", 136);
}

/** What the reference makes of a swing: `move` is told the share of the way and its time, eight times. */
function swung(camera: OrbitCamera, move: (share: number, dt: number) => void): readonly number[] {
  camera.begin();
  for (let i = 0; i < 8; i++) move(1 / 8, 0.016);
  camera.end(0.008);
  while (camera.step(0.1));
  return camera.c2w;
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

test("a swing of the mouse goes on by itself as far as the reference's, and then costs nothing", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  const before = await shown.state();
  await swing(shown, "mouse", (ms) => [600 + ms, 400 + ms / 4]);
  const expected = swung(camera, (share, dt) => camera.drag(128 * share, 32 * share, dt));
  await shown.settled();
  const rest = await shown.state();
  expect(distance(rest.camera, expected), "of the clocks' rounding").toBeLessThan(0.02);
  camera.reset();
  camera.drag(128, 32, 0);
  expect(distance(expected, camera.c2w), "it went on").toBeGreaterThan(0.5);
  expect(rest.total).toBeGreaterThan(before.total + 2);
  await page.waitForTimeout(1000);
  expect((await shown.state()).total).toBe(rest.total);
});

test("WebGL shows the picture, and turns the last one where the network is slow", async () => {
  const url = `${demo.url}?backend=wasm&present=webgl`;
  const shown = await (await visit(url, { viewport: { width: 320, height: 400 } })).opened();
  const { page, complaints } = shown;
  await shown.settled();
  expect(await page.evaluate(() => window.nelf!.viewer.renderer.warps), "WebGL is used").toBe(true);
  const picture = page.locator("#picture");
  const straight = await picture.screenshot();
  const plain = await (
    await visit(`${demo.url}?backend=wasm`, { viewport: { width: 320, height: 400 } })
  ).opened();
  expect(await plain.page.evaluate(() => window.nelf!.viewer.renderer.warps), "and here it is not").toBe(
    false,
  );
  const [here, there] = await Promise.all([meanColour(shown), meanColour(plain)]);
  for (const i of [0, 1, 2]) expect(Math.abs(here[i]! - there[i]!), "of both renderers").toBeLessThan(2);
  for (const one of [shown, plain]) expect(await farthestFromBilinear(one)).toBeLessThanOrEqual(3);
  await page.evaluate(() => {
    const { viewer } = window.nelf!;
    viewer.quality = "warped";
    const never = new Promise((_, reject) => {
      Object.assign(window, { giveUp: () => reject(new Error("the device is lost")) });
    });
    Object.defineProperty(viewer.model, "run", { value: () => never }); // slower than all
    viewer.camera.drag(30, 0, 0);
    viewer.changed();
  });
  const turned = expect.poll(async () => Buffer.compare(await picture.screenshot(), straight), {
    timeout: 20_000,
  });
  await turned.not.toBe(0);
  expect(complaints).toEqual([]);
  const frames = await page.evaluate(async () => {
    (window as unknown as { giveUp: () => void }).giveUp();
    let asked = 0;
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { requestAnimationFrame } = window;
    window.requestAnimationFrame = (call) => {
      asked++;
      return requestAnimationFrame(call);
    };
    await new Promise((resolve) => setTimeout(resolve, 300));
    return asked;
  });
  expect(frames, "after the model failed").toBe(0);
  expect((await shown.failed()).what).toContain("the device is lost");
});

test("less movement for whoever asked for it", async () => {
  const shown = await (await visit(demo.url, { reducedMotion: "reduce" })).opened();
  await shown.page.mouse.move(500, 400);
  await shown.page.mouse.down();
  await shown.page.mouse.move(600, 400);
  await shown.page.mouse.up();
  expect(await shown.page.evaluate(() => window.nelf!.viewer.camera.moving)).toBe(false);
});

test("keyboard and wheel", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  const side = await page.evaluate(() => document.getElementById("picture")!.clientWidth);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Shift+ArrowLeft");
  await page.keyboard.press("+");
  camera.drag(-side * 0.05, 0, 0);
  camera.drag(0, side * 0.05, 0);
  camera.pan(side * 0.05, 0, 0);
  camera.pinch(1.1, 0);
  expectPose((await shown.state()).camera, camera.c2w);
  await page.mouse.move(640, 400);
  await page.mouse.wheel(0, 50);
  camera.pinch(Math.exp(-50 / 500), 0);
  await shown.reaches(camera.c2w);
  await page.keyboard.press("Home");
  camera.reset();
  expectPose((await shown.state()).camera, camera.c2w);
});

test("two fingers, on a screen as wide as a phone's, in the dark", async () => {
  const phone = {
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    colorScheme: "dark",
    deviceScaleFactor: 2,
  };
  const shown = await (await visit(demo.url, phone)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  await page.emulateMedia({ reducedMotion: "reduce" }); // first without what goes on by itself
  await swing(shown, "touch", ...[() => [150, 400], (ms) => [250 + ms / 4, 400]] as Path[]); // biome-ignore format: a path
  camera.pan(16, 0, 0);
  camera.pinch(1.32, 0);
  await shown.reaches(camera.c2w);

  // Then with it: both send their moves at the same times, and the speed is that of both.
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await page.evaluate(() => window.nelf!.viewer.camera.reset());
  camera.reset();
  await swing(shown, "touch", ...[(ms) => [150 + ms / 8, 400], (ms) => [250 + ms / 8, 400]] as Path[]); // biome-ignore format: a path
  const still = [...camera.c2w];
  const expected = swung(camera, (share, dt) => camera.pan(16 * share, 0, dt));
  await shown.settled();
  expect(distance((await shown.state()).camera, expected), "of the clocks' rounding").toBeLessThan(0.005);
  expect(distance(expected, still)).toBeGreaterThan(0.08);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow, "nothing is wider than the screen").toBeLessThanOrEqual(0);
  await page.evaluate(() => window.nelf!.viewer.camera.reset());
  await shown.screenshot("phone-dark");
});

test("what a screen reader and a keyboard find", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const picture = page.getByRole("img", { name: "The scene untrained" });
  expect(await picture.getAttribute("aria-describedby")).toBe("how");
  for (const name of ["Reset view", "Check", "Details"]) await page.getByRole("button", { name }).waitFor();
  await page.getByRole("button", { name: "Details" }).press("Enter");
  await page.getByRole("dialog", { name: "Details" }).waitFor();
  const backdrop = () => page.locator("#picture").evaluate((one) => getComputedStyle(one).backgroundColor);
  expect(await backdrop(), "the page, not a white square on it").toBe("rgba(0, 0, 0, 0)");
  await page.getByRole("combobox", { name: "Behind the object" }).selectOption("scene");
  expect(await backdrop(), "image.background").toBe("rgb(255, 255, 255)");
  await shown.screenshot("details");
  await page.keyboard.press("Escape");
  expect(await page.getByRole("dialog").count()).toBe(0);
  await page.keyboard.press("Tab");
  await shown.screenshot("desktop");
});

test("the folder of the target web works below any path of a host without headers", async () => {
  const host = await served(plainHost(bundle("demo"), "/people/Ada L/scène/"));
  const { page, complaints, origins } = await (await visit(host.url)).opened();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
  expect(await page.evaluate(() => window.nelf!.model.backend)).toBe("wasm");
  expect(await checkResult(page)).toMatch(/^All right: 8 views/);
  expect(complaints).toEqual([]);
  expect([...origins]).toEqual([new URL(host.url).origin]);
});

test("nelf view --example", async () => {
  const host = await served(nelfView("--example"));
  const shown = await (await visit(`${host.url}?backend=wasm`)).opened();
  expect(await checkResult(shown.page), "a file in 8 bits").toMatch(/^All right: 8 views/);
  expect(shown.complaints).toEqual([]);
  await shown.page.keyboard.press("Escape");
  await shown.screenshot("example");
});

test("a forward-facing scene without alpha", async () => {
  const host = await served(nelfView(bundle("ahead")));
  const shown = await (await visit(`${host.url}?backend=wasm`)).opened();
  expect(await checkResult(shown.page)).toMatch(/^All right: 8 views/);
  expect(shown.complaints).toEqual([]);
});

const BROKEN: [code: string, what: RegExp, change: (folder: string) => void][] = [
  ["invalid_manifest", /cannot be read/, (folder) => writeFileSync(join(folder, "manifest.json"), "{")],
  ["unsupported_version", /version 1\.1/, (folder) => changeManifest(folder, (m) => (m.version = "1.1"))],
  [
    "invalid_manifest",
    /required property "camera"/,
    (folder) => changeManifest(folder, (m) => delete m.camera),
  ],
  ["damaged_file", /model\.tflite is missing/, (folder) => rmSync(join(folder, "model.tflite"))],
  [
    "damaged_file",
    /model\.tflite has 5 bytes/,
    (folder) => writeFileSync(join(folder, "model.tflite"), "short"),
  ],
  [
    "runtime_failed",
    /LiteRT/,
    (folder) => {
      writeFileSync(join(folder, "model.tflite"), "no network at all, whatever the manifest says");
      changeManifest(folder, () => undefined);
    },
  ],
  [
    "damaged_file",
    /cannot be read/,
    (folder) => {
      writeFileSync(join(folder, "golden/poses.json"), "[]");
      changeManifest(folder, () => undefined);
    },
  ],
  ["unsupported_target", /for ios/, (folder) => changeManifest(folder, (m) => (m.target = "ios"))],
];

test.each(BROKEN)("a broken bundle: %s, %s", async (code, what, change) => {
  const host = await served(plainHost(changedBundle("demo", change)));
  const shown = await visit(`${host.url}?backend=wasm`);
  const said = await shown.failed();
  expect(said.code).toBe(code);
  expect(said.what).toMatch(what);
  expect(said.remedy).not.toBe("");
  if (what.source.includes("missing")) await shown.screenshot("error");
});

test("a picture that is wrong is not shown", async () => {
  const folder = changedBundle("demo", (copy) => {
    const path = join(copy, "golden/poses.json");
    const { views } = JSON.parse(readFileSync(path, "utf8")) as { views: { c2w: number[][] }[] };
    writeFileSync(path, JSON.stringify({ views: [{ ...views[0], c2w: views[1]!.c2w }] }));
    changeManifest(copy, () => undefined);
  });
  const host = await served(plainHost(folder));
  const said = await (await visit(host.url)).failed();
  expect(said.code).toBe("runtime_failed");
  expect(said.what).toMatch(/gives a wrong picture \([\d.]+ dB\)/);
});

test("a host that lost the runtime", async () => {
  const folder = changedBundle("demo", (copy) => rmSync(join(copy, "litert"), { recursive: true }));
  const host = await served(plainHost(folder));
  expect((await (await visit(host.url)).failed()).code).toBe("runtime_failed");
});
