import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundle, changedBundle, changeManifest, nelfView, plainHost, type Served } from "./hosts";
import { checkResult, setUp } from "./setup";

const { visit, served } = setUp();
let demo: Served;

beforeAll(async () => {
  demo = await nelfView(bundle("demo"));
});
afterAll(() => demo.close());

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

test("every backend is measured, the fastest stays, and the next visit remembers it", async () => {
  const shown = await (await visit(`${demo.url}?still`, { asItIs: true })).opened();
  const { page } = shown;
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  const told = async () => {
    await page.getByRole("button", { name: "Details" }).click();
    const lines = await page.locator("#attempts li").allTextContents();
    await page.keyboard.press("Escape");
    return lines;
  };
  const lines = await told();
  expect(lines).toContain("GPU (WebGPU): a CPU plays the GPU here");
  expect(lines).toHaveLength(3);
  const times = lines.flatMap(
    (line) => /^(.*): ([\d.]+) ms, [\d.]+ dB to PyTorch(, in use)?$/.exec(line)?.slice(1) ?? [],
  );
  expect(times).toHaveLength(cores > 1 ? 6 : 3);
  const used = Number(times[times.indexOf(", in use") - 1]);
  for (const i of [1, 4]) if (times[i]) expect(used).toBeLessThanOrEqual(Number(times[i]) / 0.9 + 0.1);
  const { backend } = await shown.state();
  await page.reload();
  await shown.opened();
  expect((await shown.state()).backend).toBe(backend);
  expect((await told()).toSorted()).toEqual(lines.toSorted());
});

test("a picture that is wrong is not shown", async () => {
  const folder = changedBundle("demo", (copy) => {
    const path = join(copy, "golden/poses.json");
    const { views } = JSON.parse(readFileSync(path, "utf8")) as { views: { c2w: number[][] }[] };
    writeFileSync(path, JSON.stringify({ views: [{ ...views[0], c2w: views[1]!.c2w }] }));
    changeManifest(copy, () => undefined);
  });
  const host = await served(plainHost(folder));
  const said = await (await visit(host.url, { asItIs: true })).failed();
  expect(said.code).toBe("runtime_failed");
  expect(said.what).toMatch(/gives a wrong picture \([\d.]+ dB\)/);
});
