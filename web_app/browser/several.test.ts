import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, type Hosted, needed, plainHost, ROOT, severalBundles } from "./hosts";
import { distance, PHONE, setUp } from "./setup";

const { visit, served } = setUp();
let host: Hosted;

beforeAll(async () => {
  host = await severalBundles({ demo: bundle("demo"), constant: bundle("constant"), ahead: bundle("ahead") });
});
afterAll(() => host.close());

test("the start page has a card for each bundle, opens one, and leads back", async () => {
  const shown = await visit(host.url, PHONE);
  const { page, complaints } = shown;
  await page.getByRole("heading", { name: "untrained" }).waitFor();
  expect(await page.locator("#cards li").count()).toBe(3);
  expect(await page.locator("#cards li").first().textContent()).toMatch(/m · fp32 · web.*28\.4 dB.*12\.5 ms/);
  await page.getByRole("link", { name: "untrained" }).tap();
  await shown.opened();
  expect(await page.locator("#name").textContent()).toBe("untrained");
  expect(new URL(page.url()).searchParams.get("bundle")).toBe("demo");
  await page.getByRole("link", { name: "All scenes" }).tap();
  await page.getByRole("heading", { name: "Scenes" }).waitFor();
  expect(complaints).toEqual([]);
});

test("two bundles side by side: one pose, a line that fingers and keys move", async () => {
  const shown = await visit(host.url, PHONE);
  const { page, complaints } = shown;
  const compare = page.getByRole("button", { name: "Compare the two" });
  expect(await compare.isDisabled()).toBe(true);
  const boxes = page.getByRole("checkbox");
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  expect(await boxes.nth(2).isDisabled(), "two are enough").toBe(true);
  await compare.tap();
  await shown.opened();
  expect(new URL(page.url()).search).toBe("?bundle=demo&compare=constant");
  const picture = page.locator("#picture");
  const other = page.locator("#other");
  expect(await other.boundingBox()).toEqual(await picture.boundingBox());

  const visible = (id: string) =>
    page.locator(id).evaluate((one) => {
      const { x, width, y, height } = one.getBoundingClientRect();
      const [left, right] = [x + 0.25 * width, x + 0.75 * width].map((at) =>
        document.elementsFromPoint(at, y + height / 3),
      );
      return [left!.includes(one), right!.includes(one)];
    });
  expect(await visible("#picture")).toEqual([true, false]);
  expect(await visible("#other")).toEqual([false, true]);
  const slider = page.getByRole("slider", { name: "Where the two pictures meet" });
  await slider.focus();
  await page.keyboard.press("Home");
  expect(await slider.getAttribute("aria-valuetext")).toMatch(/^0 % untrained m fp32, the rest constant/);
  expect(await visible("#picture")).toEqual([false, false]);
  await page.keyboard.press("End");
  expect(await visible("#picture")).toEqual([true, true]);
  expect(await page.evaluate(() => window.nelf!.viewer.pose), "the keys were the slider's").toBeDefined();

  await picture.focus();
  const before = (await shown.state()).camera;
  await page.keyboard.press("ArrowRight");
  await shown.settled();
  expect(distance((await shown.state()).pose, before)).toBeGreaterThan(0.05);
  const [first, second] = await page.evaluate(() =>
    window.nelf!.viewer.panes.map(({ times }) => times.total),
  );
  expect(first, "both show every pose").toBe(second);
  await page.getByRole("button", { name: "Figures" }).tap();
  expect(await page.locator("#hud").textContent()).toMatch(/[\d.]+ and [\d.]+ ms.*fp32 and fp32/);
  expect(complaints).toEqual([]);
});

test.each([
  [320, 568],
  [360, 640],
  [390, 844],
])("figures cover no picture of a split screen of %d x %d points", async (width, height) => {
  const shown = await visit(`${host.url}?bundle=demo&compare=constant`, { viewport: { width, height } });
  const { page } = await shown.opened();
  await page.getByRole("button", { name: "Figures" }).click();
  const box = async (id: string) => (await page.locator(id).boundingBox())!;
  const [hud, picture, slider] = [await box("#hud"), await box("#picture"), await box("#split")];
  expect(hud.y + hud.height).toBeLessThanOrEqual(picture.y);
  expect(picture.y + picture.height / 2, "the slider leaves most of it").toBeLessThan(slider.y);
  const [left, stage] = [await box("#left-label"), await box("#stage")];
  expect(left.y + left.height).toBeLessThanOrEqual(hud.y);
  expect(picture.y + picture.height).toBeLessThanOrEqual(stage.y + stage.height);
});

test("the folder that nelf view --out writes works on any host of files, with pictures and threads", {
  timeout: 300_000,
}, async () => {
  const folder = join(mkdtempSync(join(tmpdir(), "nelf-web-")), "site");
  const command = ["-m", "nelf.cli.main", "view", bundle("demo"), bundle("constant"), "--out", folder];
  execFileSync(needed("NELF_PYTHON"), command, { env: { ...process.env, PYTHONPATH: ROOT } });
  const published = await served(plainHost(folder, "/scenes/"));
  const shown = await visit(published.url, PHONE);
  const { page, complaints } = shown;
  await page.locator("#cards li").nth(1).waitFor();
  await page.waitForFunction(() => {
    const pictures = [...document.querySelectorAll<HTMLImageElement>("#cards img")];
    return pictures.length === 2 && pictures.every((one) => one.naturalWidth > 0);
  });
  await page.goto(`${published.url}?bundle=demo&still&backend=threads`);
  await shown.opened();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect((await shown.state()).backend).toBe("threads");
  expect(complaints).toEqual([]);
});

test("a bundle that is not there", async () => {
  const said = await (await visit(`${host.url}?bundle=other`)).failed();
  expect(said.code).toBe("not_a_bundle");
  expect(said.what).toBe("There is no bundle other here, but demo, constant, ahead.");
});
