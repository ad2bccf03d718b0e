/**
 * Two folders that `nelf export --target web` made, each with the page of its own version of nelf, in one browser, in turns:
 * benchmarks/browser.py starts this, and reads what it writes to NELF_TURNS.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Hosted, needed, plainHost } from "./hosts";
import { launch } from "./visit";

/** What all versions of the page have had since c2161ba. */
interface Opened {
  viewer: {
    camera: { c2w: readonly number[]; drag: (x: number, y: number, seconds: number) => void };
    changed: () => void;
    times: { total: number };
    pose: unknown;
  };
  model: {
    run: (pose: readonly number[]) => Promise<{ milliseconds: number }>;
    reuse: (picture: unknown) => void;
    backend: string;
    threads: number;
  };
}

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
const TURN = 2; // points that the camera is dragged between two pictures

const { folders, rounds, seconds, backend } = JSON.parse(needed("NELF_TURNS_PLAN")) as {
  folders: string[];
  rounds: number;
  seconds: number;
  backend: string;
};
let browser: Browser;
const hosts: Hosted[] = [];

beforeAll(async () => {
  browser = await launch(false);
  for (const folder of folders) {
    const host = await plainHost(folder, "/", ISOLATED);
    host.files.set("server.json", JSON.stringify({ live: true, phone: false, benchmark: null }));
    hosts.push(host);
  }
});
afterAll(async () => {
  await browser.close();
  await Promise.all(hosts.map((host) => host.close()));
});

async function open(url: string): Promise<Page> {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  await page.goto(`${url}?still&backend=${backend}`);
  await page.waitForFunction(
    () => (window as unknown as { nelf?: Opened }).nelf?.viewer.pose !== undefined,
    null,
    {
      timeout: 80_000,
    },
  );
  return page;
}

/** Half of a turn the network alone, half of it with the viewer. Milliseconds. */
function turn(page: Page): Promise<{ network: number[]; shown: number; threads: number; backend: string }> {
  return page.evaluate(
    async ([seconds, step]) => {
      const { viewer, model } = (window as unknown as { nelf: Opened }).nelf;
      const network: number[] = [];
      let start = performance.now();
      while (performance.now() - start < (seconds! * 1000) / 2) {
        viewer.camera.drag(step!, 0, 0);
        const picture = await model.run(viewer.camera.c2w);
        network.push(picture.milliseconds);
        model.reuse(picture);
      }
      const before = viewer.times.total;
      start = performance.now();
      while (performance.now() - start < (seconds! * 1000) / 2) {
        viewer.camera.drag(step!, 0, 0);
        viewer.changed();
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      const shown = (performance.now() - start) / (viewer.times.total - before);
      await new Promise((resolve) => setTimeout(resolve, 300)); // the last picture: the other's turn comes
      return { network, shown, threads: model.threads, backend: model.backend };
    },
    [seconds, TURN] as const,
  );
}

test(
  "in turns",
  async () => {
    const pages = [];
    for (const { url } of hosts) pages.push(await open(url));
    for (const page of pages) await turn(page); // to warm up
    const found = pages.map((_, i) => ({
      folder: folders[i]!,
      name: (JSON.parse(readFileSync(join(folders[i]!, "manifest.json"), "utf8")) as { name: string }).name,
      rounds: [] as Awaited<ReturnType<typeof turn>>[],
    }));
    for (let round = 0; round < rounds; round++)
      for (const [i, page] of pages.entries()) found[i]!.rounds.push(await turn(page));
    writeFileSync(needed("NELF_TURNS"), JSON.stringify({ browser: browser.version(), found }));
    for (const one of found) expect(one.rounds.every(({ network }) => network.length > 0)).toBe(true);
  },
  (2 + 2 * rounds) * (seconds + 5) * 1000 + 180_000,
);
