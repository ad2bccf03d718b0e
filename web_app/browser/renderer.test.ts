import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, type Hosted, liveHost } from "./hosts";
import { setUp } from "./setup";
import type { Visit } from "./visit";

const { visit } = setUp();
let demo: Hosted;

beforeAll(async () => {
  demo = await liveHost(bundle("demo"));
});
afterAll(() => demo.close());

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

/**
 * Shows noise, and compares the canvas over white with the enlargement that it should be: 0 to 255. `cubic`: Catmull-Rom
 * held to the range of the nearest four, as the shader says; otherwise bilinear.
 */
function farthestFromReference({ page }: Visit, cubic: boolean): Promise<number> {
  return page.evaluate((cubic) => {
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
      const [column, row] = [Math.min(Math.max(x, 0), side - 1), Math.min(Math.max(y, 0), side - 1)];
      return pixels[4 * (row * side + column) + c]!;
    };
    const linear = (t: number) => [0, 1 - t, t, 0];
    const keys = (x: number) => {
      const a = Math.abs(x);
      if (a >= 2) return 0;
      return a < 1 ? 1.5 * a ** 3 - 2.5 * a ** 2 + 1 : -0.5 * a ** 3 + 2.5 * a ** 2 - 4 * a + 2;
    };
    const weights = (t: number) => (cubic ? [-1, 0, 1, 2].map((tap) => keys(tap - t)) : linear(t));
    const enlarged = (x: number, y: number, c: number) => {
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [across, down] = [weights(x - left), weights(y - top)];
      let sum = 0;
      for (let row = 0; row < 4; row++) {
        for (let column = 0; column < 4; column++) {
          sum += across[column]! * down[row]! * at(left + column - 1, top + row - 1, c);
        }
      }
      const inner = [0, 1].flatMap((i) => [0, 1].map((j) => at(left + i, top + j, c)));
      return Math.min(Math.max(sum, Math.min(...inner)), Math.max(...inner));
    };
    let farthest = 0;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [x, y] = [((column + 0.5) / width) * side - 0.5, ((row + 0.5) / height) * side - 0.5];
        const alpha = enlarged(x, y, 3);
        for (let c = 0; c < 3; c++) {
          const expected = Math.min(enlarged(x, y, c), alpha) + 255 - alpha;
          farthest = Math.max(farthest, Math.abs(data[4 * (row * width + column) + c]! - expected));
        }
      }
    }
    return farthest;
  }, cubic);
}

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
  expect(await farthestFromReference(shown, true), "bicubic").toBeLessThanOrEqual(3);
  expect(await farthestFromReference(plain, false), "bilinear").toBeLessThanOrEqual(3);
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

test("the quality adapts to a slow network and a slow screen, is told, and comes back", async () => {
  const url = `${demo.url}?backend=wasm&present=webgl`;
  const shown = await (await visit(url, { viewport: { width: 320, height: 500 } })).opened();
  const { page } = shown;
  await page.getByRole("button", { name: "Figures" }).click();
  const width = await page.locator("#picture").evaluate((one) => (one as HTMLCanvasElement).width);
  /** Pictures that seem to take `ms`, while the screen shows a frame every `interval` ms. */
  const drive = (ms: number, interval: number) =>
    page.evaluate(
      async ([ms, interval]) => {
        const { viewer } = window.nelf!;
        viewer.times.clear();
        for (let i = 0; i < 119; i++) viewer.times.add(ms!);
        for (let i = 0; i < 120; i++) viewer.intervals.add(interval!);
        viewer.camera.drag(1, 0, 0);
        viewer.changed();
        await viewer.alone(async () => undefined);
        await new Promise((resolve) => setTimeout(resolve, 400)); // the figures change four times a second
        viewer.camera.drag(1, 0, 0);
        viewer.changed();
      },
      [ms, interval],
    );
  const quality = page.locator("#hud dd").last();
  await drive(80, 16);
  await expect.poll(() => quality.textContent(), { timeout: 20_000 }).toBe("last picture turned");
  await drive(80, 60);
  await expect
    .poll(() => quality.textContent(), { timeout: 20_000 })
    .toBe("last picture turned, half resolution");
  const halved = await page.locator("#picture").evaluate((one) => (one as HTMLCanvasElement).width);
  expect(halved).toBe(Math.round(width / 2));
  await drive(10, 60);
  await expect.poll(() => quality.textContent(), { timeout: 20_000 }).toBe("every picture computed");
});
