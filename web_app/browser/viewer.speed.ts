/**
 * Pictures a second, and the time from the click to the first one. For a machine that does nothing else: `make webspeed`.
 * The figures go to runs/web/speed.json.
 */

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle, nelfView, type Served } from "./hosts";
import { launch, Visit } from "./visit";

const SECONDS = 5;
const LEAST_RATE = 30; // pictures a second
const MOST_WAIT = 2000; // ms from the click to the first picture

let browser: Browser;
let demo: Served;
const found: Record<string, object> = {};

beforeAll(async () => {
  browser = await launch(false);
  demo = await nelfView(bundle("demo"));
});

afterAll(async () => {
  await browser.close();
  await demo.close();
  const machine = { cores: cpus().length, processor: cpus()[0]?.model };
  writeFileSync(
    join(process.env.NELF_ARTEFACTS!, "speed.json"),
    `${JSON.stringify({ machine, ...found }, null, 2)}\n`,
  );
});

test.each(["threads", "wasm"])("%s: 128 x 128, preset m", async (backend) => {
  const visit = await Visit.to(browser, `${demo.url}?backend=${backend}`);
  await visit.opened();
  const cold = await visit.page.evaluate(() => performance.now()); // nothing of the page was in the browser before
  await visit.page.reload();
  await visit.opened();
  const measured = await visit.page.evaluate(async (seconds) => {
    const { viewer, model } = window.nelf!;
    const first = performance.now(); // since the navigation began
    const paint = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
    const { total } = viewer.times;
    const start = performance.now();
    while (performance.now() - start < seconds * 1000) {
      viewer.camera.drag(2, 0, 0); // a turn without end
      viewer.changed();
      await paint();
    }
    const rate = ((viewer.times.total - total) * 1000) / (performance.now() - start);
    const { median, p95 } = viewer.times;
    return { first, rate, median, p95, threads: model.threads };
  }, SECONDS);
  found[backend] = { cold, ...measured };
  process.stdout.write(`${backend}: ${JSON.stringify(found[backend])}\n`);
  await visit.close();
  expect(measured.rate).toBeGreaterThanOrEqual(LEAST_RATE);
  expect(cold).toBeLessThan(MOST_WAIT);
  expect(measured.first).toBeLessThan(MOST_WAIT);
});
