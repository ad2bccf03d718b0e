import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bundle, changedBundle, changeManifest, liveHost, nelfView, plainHost } from "./hosts";
import { checkResult, setUp } from "./setup";

const { visit, served } = setUp();

test("the folder of the target web works below any path of a host without headers, with threads", async () => {
  const host = await served(plainHost(bundle("demo"), "/people/Ada L/scène/"));
  const { page, complaints, origins } = await (await visit(host.url)).opened();
  expect(await page.evaluate(() => crossOriginIsolated), "by the service worker").toBe(true);
  expect(await page.evaluate(() => window.nelf!.model.backend)).toBe("threads");
  expect(await checkResult(page)).toMatch(/^All right: 8 views/);
  expect(complaints).toEqual([]);
  expect([...origins]).toEqual([new URL(host.url).origin]);
});

test("nelf view --example", async () => {
  const host = await served(nelfView("--example"));
  const shown = await (await visit(`${host.url}?backend=wasm`)).opened();
  expect(await checkResult(shown.page), "a file in 8 bits").toMatch(/^All right: 8 views/);
  expect(shown.complaints).toEqual([]);
});

test("a forward-facing scene without alpha", async () => {
  const host = await served(nelfView(bundle("ahead")));
  const shown = await (await visit(`${host.url}?backend=wasm`)).opened();
  expect(await checkResult(shown.page)).toMatch(/^All right: 8 views/);
  expect(shown.complaints).toEqual([]);
});

test("a bundle in tiles", async () => {
  const host = await served(nelfView(bundle("tiles")));
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

/** Where manifest and golden views are right, one of them stands in for the picture. */
const SHOWS_GOLDEN = /model\\.tflite|LiteRT|for ios/;

test.each(BROKEN)("a broken bundle: %s, %s", async (code, what, change) => {
  const host = await served(plainHost(changedBundle("demo", change)));
  const shown = await visit(`${host.url}?backend=wasm`);
  const said = await shown.failed();
  expect(said.code).toBe(code);
  expect(said.what).toMatch(what);
  expect(said.remedy).not.toBe("");
  const golden = shown.page.locator("#error-view");
  if (SHOWS_GOLDEN.test(what.source)) await golden.waitFor();
  else expect(await golden.isVisible()).toBe(false);
});

test("a bundle that is exported again while the page opens it", async () => {
  const host = await served(liveHost(bundle("demo")));
  const next = changedBundle("demo", (folder) => {
    const model = join(folder, "model.tflite");
    writeFileSync(model, Buffer.concat([readFileSync(model), Buffer.alloc(16)]));
    changeManifest(folder, (manifest) => (manifest.name = "second"));
  });
  const shown = await visit("about:blank");
  const { page } = shown;
  await page.route("**/model.tflite*", (route) => {
    for (const name of ["manifest.json", "model.tflite"])
      host.files.set(name, readFileSync(join(next, name)));
    return route.continue();
  });
  await page.goto(`${host.url}?still&backend=wasm`);
  expect(await shown.failed()).toEqual({
    code: "damaged_file",
    what: "The bundle was exported again while this page opened it.",
    remedy: "Reload this page: it then opens the new one.",
  });
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForURL(host.url.concat("**"));
  await page.locator("#name", { hasText: "second" }).waitFor();
  await shown.opened();
});

function runtime(folder: string): string {
  return readdirSync(folder).find((name) => name.startsWith("litert-"))!;
}

test("a browser without WebAssembly", async () => {
  const host = await served(liveHost(bundle("demo")));
  const shown = await visit("about:blank");
  await shown.page.addInitScript(() => Reflect.deleteProperty(globalThis, "WebAssembly"));
  await shown.page.goto(host.url);
  expect(await shown.failed()).toMatchObject({
    code: "runtime_failed",
    what: "This browser has no WebAssembly.",
  });
});

test("a server that went away in the middle", async () => {
  const host = await served(liveHost(bundle("demo")));
  host.broken.add("model.tflite");
  const said = await (await visit(host.url)).failed();
  expect(said.code).toBe("unreachable");
  expect(said.what).toMatch(/^model\.tflite cannot be loaded/);
});

test("a host that lost the runtime", async () => {
  const folder = changedBundle("demo", (copy) => rmSync(join(copy, runtime(copy)), { recursive: true }));
  const host = await served(plainHost(folder));
  expect((await (await visit(host.url, { asItIs: true })).failed()).code).toBe("runtime_failed");
});
