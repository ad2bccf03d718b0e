import { afterAll, beforeAll, expect, test } from "vitest";
import type { OrbitCamera } from "../src/OrbitCamera";
import { bundle, type Hosted, liveHost } from "./hosts";
import { cameraBeside, distance, PHONE, setUp } from "./setup";
import type { Visit } from "./visit";

const { visit } = setUp();
let demo: Hosted;

beforeAll(async () => {
  demo = await liveHost(bundle("demo"));
});
afterAll(() => demo.close());

function expectPose(found: readonly number[], expected: readonly number[]): void {
  expect(distance(found, expected)).toBeLessThan(1e-6);
}

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
  const phone = { ...PHONE, isMobile: false, colorScheme: "dark" } as const;
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

test("the picture moves by itself until it is touched, and then no more", async () => {
  const shown = await (await visit(`${demo.url}?backend=threads`, { asItIs: true })).opened();
  const { page } = shown;
  expect(await page.locator("#hint").isVisible(), "how to move").toBe(true);
  const before = await shown.state();
  await page.waitForTimeout(600);
  const after = await shown.state();
  expect(after.total).toBeGreaterThan(before.total);
  expect(distance(after.camera, before.camera)).toBeGreaterThan(0.01);
  await page.mouse.click(600, 400);
  expect(await page.locator("#hint").isVisible()).toBe(false);
  await shown.settled();
  const { total } = await shown.state();
  await page.waitForTimeout(600);
  expect((await shown.state()).total).toBe(total);
  await page.reload();
  await shown.opened();
  expect(await page.locator("#hint").isVisible(), "somebody knows how").toBe(false);
});

test("nothing moves by itself for whoever asked for it", async () => {
  const shown = await visit(`${demo.url}?backend=threads`, { asItIs: true, reducedMotion: "reduce" });
  await shown.opened();
  await shown.settled();
  const { total } = await shown.state();
  await shown.page.waitForTimeout(600);
  expect((await shown.state()).total).toBe(total);
});

test("the buttons come nearer and go back, and the edge of the region is told softly", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  expect(await page.locator(".edge").count()).toBe(0);
  await page.getByRole("button", { name: "Nearer" }).click();
  camera.pinch(1.25, 0);
  await shown.reaches(camera.c2w);
  await page.getByRole("button", { name: "Farther" }).click();
  camera.pinch(1 / 1.25, 0);
  await shown.reaches(camera.c2w);
  await page.evaluate(() => {
    const edges: boolean[] = [];
    Object.assign(window, { edges });
    const stage = document.getElementById("stage")!;
    new MutationObserver(() => edges.push(stage.classList.contains("edge"))).observe(stage, {
      attributes: true,
    });
  });
  for (let i = 0; i < 12; i++) await page.keyboard.press("ArrowUp"); // to the highest, and on
  await expect
    .poll(() => page.evaluate(() => (window as unknown as { edges: boolean[] }).edges), { timeout: 5000 })
    .toEqual(expect.arrayContaining([true, false]));
});

test("turning the phone looks around", async () => {
  const shown = await (await visit(demo.url, PHONE)).opened();
  const { page } = shown;
  const camera = await cameraBeside(shown);
  const side = await page.locator("#picture").evaluate((one) => Math.min(one.clientWidth, one.clientHeight));
  const turnTo = (alpha: number, beta: number, gamma: number) =>
    page.evaluate((angles) => dispatchEvent(new DeviceOrientationEvent("deviceorientation", angles)), {
      alpha,
      beta,
      gamma,
    });
  await turnTo(0, 90, 0);
  expect((await shown.state()).camera, "nobody asked for it").toEqual([...camera.c2w]);
  await page.getByRole("button", { name: "Look around by moving the phone" }).tap();
  await page.locator("#gyroscope[aria-pressed=true]").waitFor();
  await turnTo(0, 90, 0); // upright
  for (let degrees = 1; degrees <= 10; degrees++) await turnTo(degrees, 90, 0); // to the left, about the vertical
  camera.drag((-10 / 180) * side, 0, 0);
  await expect.poll(async () => distance((await shown.state()).camera, camera.c2w)).toBeLessThan(0.01);
  for (let degrees = 1; degrees <= 5; degrees++) await turnTo(10, 90 - degrees, 0); // leans back: looks down
  camera.drag(0, (5 / 180) * side, 0);
  await expect.poll(async () => distance((await shown.state()).camera, camera.c2w)).toBeLessThan(0.01);
  await page.getByRole("button", { name: "Look around by moving the phone" }).tap();
  await page.locator("#gyroscope[aria-pressed=false]").waitFor();
  await turnTo(60, 60, 0);
  expect(distance((await shown.state()).camera, camera.c2w), "it is off again").toBeLessThan(0.01);
});

test("the screen stays awake while somebody moves", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  await page.evaluate(() => {
    Object.assign(window, { asked: 0 });
    const lock = { released: false, release: async () => undefined };
    const request = async () => {
      (window as unknown as { asked: number }).asked++;
      return lock;
    };
    Object.defineProperty(navigator, "wakeLock", { value: { request } });
  });
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  expect(await page.evaluate(() => (window as unknown as { asked: number }).asked)).toBe(1);
});
