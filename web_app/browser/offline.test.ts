import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  bundle,
  changedBundle,
  changeManifest,
  type Hosted,
  liveHost,
  type Manifest,
  plainHost,
} from "./hosts";
import { checkResult, PHONE, setUp } from "./setup";
import type { Visit } from "./visit";

const { visit, served } = setUp();

async function kept({ page }: Visit): Promise<void> {
  await page.waitForFunction(() => document.getElementById("offline")!.dataset.state === "kept", null, {
    timeout: 30_000,
  });
}

function keptUrls({ page }: Visit): Promise<string[]> {
  return page.evaluate(async () => {
    const names = await caches.keys();
    const all = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return all.flat().map(({ url }) => url);
  });
}

function sha256(folder: string, path: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
  return manifest.files.find((file) => file.path === path)!.sha256;
}

/** The demo in another version: another name, and a model with bytes at its end that change nothing. */
function nextVersion(): string {
  return changedBundle("demo", (folder) => {
    const path = join(folder, "model.tflite");
    writeFileSync(path, Buffer.concat([readFileSync(path), randomBytes(16)]));
    changeManifest(folder, (manifest) => {
      manifest.name = "second";
    });
  });
}

/** Serve all files of another folder from now on. */
function replace(host: Hosted, folder: string): void {
  const { files } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
  for (const { path } of files) host.files.set(path, readFileSync(join(folder, path)));
  host.files.set("manifest.json", readFileSync(join(folder, "manifest.json")));
}

test("a scene opens without its host, after one visit to any host of files", async () => {
  const host = await plainHost(bundle("demo"), "/a folder/");
  const shown = await (await visit(host.url, PHONE)).opened();
  await kept(shown);
  await host.close();
  await shown.page.reload();
  await shown.opened();
  expect(await shown.page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect((await shown.state()).backend).toBe("threads");
  await kept(shown);
  await shown.page.getByRole("button", { name: "Details" }).click();
  expect(await shown.page.locator("#offline").textContent()).toBe(
    "ready: this scene opens without a network",
  );
  await shown.page.keyboard.press("Escape");
  expect(await checkResult(shown.page), "the golden views are kept too").toMatch(/^All right: 8 views/);
});

test("an update: the new version is shown at once, and the old one is gone when the new one is kept whole", async () => {
  const host = await served(plainHost(bundle("demo"), "/viewer/"));
  const shown = await (await visit(host.url)).opened();
  await kept(shown);
  const before = await keptUrls(shown);
  const first = sha256(bundle("demo"), "model.tflite").slice(0, 16);
  expect(before.filter((url) => url.includes("model.tflite"))).toEqual([
    `${host.url}model.tflite?v=${first}`,
  ]);

  const next = nextVersion();
  replace(host, next);
  await shown.page.reload();
  await shown.opened();
  expect(await shown.page.locator("#name").textContent()).toBe("second");
  await kept(shown);
  const second = sha256(next, "model.tflite").slice(0, 16);
  const after = await keptUrls(shown);
  expect(after.filter((url) => url.includes("model.tflite"))).toEqual([
    `${host.url}model.tflite?v=${second}`,
  ]);
  expect(after).toHaveLength(before.length);
});

test("an update in the middle of which the host goes away: the old version whole, never a mix", async () => {
  const host = await plainHost(bundle("demo"));
  const shown = await (await visit(host.url)).opened();
  await kept(shown);
  replace(host, nextVersion());
  host.broken.add("model.tflite"); // the new model does not arrive
  await shown.page.reload();
  const said = await shown.failed();
  expect(said.code, "the new manifest without its model").toBe("unreachable");
  await host.close();
  await shown.page.reload();
  await shown.opened();
  expect(await shown.page.locator("#name").textContent()).toBe("untrained");
  expect(await checkResult(shown.page)).toMatch(/^All right: 8 views/);
});

test("where nothing can be kept the page says why", async () => {
  const live = await served(liveHost(bundle("demo")));
  const shown = await (await visit(live.url)).opened();
  const state = (one: Visit) => one.page.locator("#offline").textContent();
  expect(await state(shown)).toMatch(/^not needed: the scene is served by this machine/);
  expect(
    await shown.page.evaluate(() => navigator.serviceWorker.getRegistrations().then((all) => all.length)),
  ).toBe(0);

  const phone = await served(liveHost(bundle("demo")));
  phone.files.set("server.json", JSON.stringify({ live: true, phone: true, benchmark: null }));
  const refused = await visit("about:blank");
  await refused.page.addInitScript(() => {
    navigator.serviceWorker.register = () => Promise.reject(new DOMException("certificate", "SecurityError"));
  });
  await refused.page.goto(`${phone.url}?still&backend=wasm`);
  await refused.opened();
  await expect.poll(() => state(refused)).toMatch(/does not trust the certificate/);
  await refused.page.getByRole("button", { name: "Details" }).click();
  const link = refused.page.getByRole("link", { name: "Get the certificate" });
  expect(await link.getAttribute("href")).toBe("./authority.crt");

  const full = await visit("about:blank");
  await full.page.addInitScript(() => {
    Cache.prototype.put = () => Promise.reject(new DOMException("no room", "QuotaExceededError"));
  });
  await full.page.goto(`${phone.url}?still&backend=wasm`);
  await full.opened();
  await expect.poll(() => state(full), { timeout: 20_000 }).toMatch(/no room/);
});
