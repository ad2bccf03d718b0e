import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Manifest } from "../src/Manifest";
import { OrbitCamera } from "../src/OrbitCamera";
import { bundle, type Hosted, liveHost } from "./hosts";
import { PHONE, setUp } from "./setup";

const { visit } = setUp();
let demo: Hosted;

beforeAll(async () => {
  demo = await liveHost(bundle("demo"));
});
afterAll(() => demo.close());

test("what a screen reader and a keyboard find", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const picture = page.getByRole("img", { name: "The scene untrained" });
  expect(await picture.getAttribute("aria-describedby")).toBe("how");
  for (const name of ["Reset view", "Nearer", "Farther", "Link", "Figures", "Details"])
    await page.getByRole("button", { name }).waitFor();
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

test.each([
  [320, 568],
  [350, 700],
  [360, 640],
  [640, 360],
  [768, 1024],
])("nothing is wider than a screen of %d x %d points, whatever is open", async (width, height) => {
  const shown = await (await visit(demo.url, { viewport: { width, height } })).opened();
  const { page } = shown;
  /** Elements with a text or a button that stick out of the screen, or are cut off by what they lie in. */
  const cut = () =>
    page.evaluate(() => {
      const top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
      const all = [
        top,
        ...top.querySelectorAll("button, dd, dt, td, th, select, label, h1, h2, h3, p, kbd, input"),
      ];
      return all
        .filter((one) => one.checkVisibility() && !one.closest(".unseen"))
        .filter((one) => {
          const { left, right } = one.getBoundingClientRect();
          const hides = getComputedStyle(one).overflowX === "hidden";
          return (
            left < -1 ||
            right > innerWidth + 1 ||
            (one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0 && !hides)
          );
        })
        .map((one) => `${one.tagName} ${one.id} ${one.textContent?.slice(0, 20)}`);
    });
  expect(await cut()).toEqual([]);
  await page.getByRole("button", { name: "Figures" }).click();
  expect(await cut()).toEqual([]);
  await page.getByRole("button", { name: "Details" }).click();
  expect(await cut()).toEqual([]);
  await page.getByRole("dialog", { name: "Details" }).getByRole("button", { name: "Close" }).click();
});

test("a visitor sees no figures; who asks for them sees them again at the next visit", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  expect(await page.locator("#hud").isVisible()).toBe(false);
  await page.getByRole("button", { name: "Figures" }).click();
  for (const word of [
    "Pictures",
    "Network",
    "Runs on",
    "Precision",
    "fp32",
    "Quality",
    "every picture computed",
  ]) {
    expect(await page.locator("#hud").textContent()).toContain(word);
  }
  await page.reload();
  await shown.opened();
  expect(await page.locator("#hud").isVisible()).toBe(true);
  await page.evaluate(() => {
    const { viewer } = window.nelf!;
    for (let i = 0; i < 120; i++) viewer.times.add(10);
  });
  const turn = async () => {
    await page.waitForTimeout(300); // the figures change four times a second
    await page.keyboard.press("ArrowLeft");
    await shown.settled();
  };
  await turn();
  expect(await page.locator("#warm").textContent()).toBe("");
  await page.evaluate(() => {
    const { viewer } = window.nelf!;
    for (let i = 0; i < 120; i++) viewer.times.add(20);
  });
  await turn();
  expect(await page.locator("#warm").textContent()).toMatch(/Slower than at the start \(10\.0 ms\)/);
});

test("a link leads back to a view, and says when the scene is another", async () => {
  const shown = await (
    await visit(demo.url, { permissions: ["clipboard-read", "clipboard-write"] })
  ).opened();
  const { page } = shown;
  for (const key of ["ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowLeft", "+"])
    await page.keyboard.press(key);
  await shown.settled();
  const { camera } = await shown.state();
  await page.getByRole("button", { name: "Link" }).click();
  await page.getByText("The link to this view is copied.").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(link).toMatch(/#pose=[0-9a-f]{8}(,-?[\d.e-]+){5}$/);

  const other = await (await visit(link)).opened();
  await other.settled();
  expect(Math.max(...(await other.state()).pose.map((v, i) => Math.abs(v - camera[i]!)))).toBeLessThan(1e-3);
  await other.page.evaluate(() => {
    location.hash = location.hash.replace(/pose=[0-9a-f]{8},[^,]+/, "pose=00000000,0");
  });
  await other.page.getByText("The scene has changed since this link was made.").waitFor();
  await other.page.evaluate(() => {
    location.hash = "pose=00000000,1,2";
  });
  await other.page.getByText("This link is not of this scene").waitFor();
});

test("a picture is saved as it is on the screen", async () => {
  const shown = await (await visit(demo.url)).opened();
  const { page } = shown;
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save picture" }).click();
  expect((await download).suggestedFilename()).toBe("untrained.png");
  const stream = await (await download).createReadStream();
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  const size = await page
    .locator("#picture")
    .evaluate((one) => [(one as HTMLCanvasElement).width, (one as HTMLCanvasElement).height]);
  const file = Buffer.concat(parts);
  expect(file.subarray(1, 4).toString()).toBe("PNG");
  expect([file.readUInt32BE(16), file.readUInt32BE(20)]).toEqual(size);
});

test("loading says how much is here", async () => {
  const shown = await visit("about:blank");
  const { page } = shown;
  const said: string[] = [];
  await page.exposeFunction("said", (line: string) => said.push(line));
  await page.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => {
      const line = document.getElementById("progress")!;
      const tell = (window as unknown as { said: (line: string) => void }).said;
      new MutationObserver(() => tell(line.textContent ?? "")).observe(line, { childList: true });
    });
  });
  await page.goto(`${demo.url}?still&backend=wasm`);
  await shown.opened();
  expect(said).toContainEqual(expect.stringMatching(/^Loading the network: [\d.]+ of [\d.]+ MB$/));
  expect(said).toContainEqual(expect.stringMatching(/^Loading the runtime: [\d.]+( of [\d.]+)? MB$/));
});

test("full screen and the whole of a portrait screen", async () => {
  const shown = await (await visit(demo.url, PHONE)).opened();
  const { page } = shown;
  const { width, height } = (await page.locator("#surface").boundingBox())!;
  expect(width).toBe(390);
  expect(height).toBeGreaterThan(0.8 * 844);
  const before = (await page.locator("#picture").boundingBox())!.width;
  expect(before).toBeGreaterThan(0.85 * 390);
  await page.getByRole("button", { name: "Fill the screen" }).tap();
  expect((await page.locator("#picture").boundingBox())!.width).toBeGreaterThan(1.4 * 390);
  await page.getByRole("button", { name: "Full screen" }).tap();
  await page.waitForFunction(() => document.fullscreenElement !== null);
});

test("a live server's photos: the nearest one next to the view", async () => {
  const host = await liveHost(bundle("demo"));
  const read = (path: string) => JSON.parse(readFileSync(join(bundle("demo"), path), "utf8"));
  const { views } = read("golden/poses.json") as { views: { c2w: number[][] }[] };
  const start = new OrbitCamera(read("manifest.json") as Manifest).c2w;
  const poses = [views[0]!.c2w.flat(), [...start], views[1]!.c2w.flat()];
  const photos = poses.map((c2w, i) => ({ path: `photos/00${i}.svg`, c2w }));
  host.files.set("photos.json", JSON.stringify({ photos }));
  for (const { path } of photos) {
    host.files.set(
      path,
      '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20"/></svg>',
    );
  }
  const shown = await (await visit(host.url)).opened();
  const { page } = shown;
  await page.getByRole("button", { name: "Nearest photo" }).click();
  expect(await page.locator("#photo").getAttribute("src")).toBe(`${host.url}photos/001.svg`);
  await shown.page.waitForFunction(
    () => (document.getElementById("photo") as HTMLImageElement).naturalWidth === 20,
  );
  await host.close();
});
