/** What every file of tests has: a browser, and pages and servers that close after each test. */

import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll } from "vitest";
import type { Manifest } from "../src/Manifest";
import { OrbitCamera } from "../src/OrbitCamera";
import type { Served } from "./hosts";
import { launch, Visit, type VisitOptions } from "./visit";

/** A phone held upright. */
export const PHONE = {
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
  deviceScaleFactor: 2,
} as const;

export interface Setup {
  visit: (url: string, options?: VisitOptions) => Promise<Visit>;
  served: <T extends Served>(server: Promise<T>) => Promise<T>;
}

export function setUp(): Setup {
  let browser: Browser;
  const open: { close: () => Promise<void> }[] = [];

  beforeAll(async () => {
    browser = await launch();
  });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });
  afterAll(() => browser.close());

  return {
    visit: async (url, options = {}) => {
      const made = await Visit.to(browser, url, options);
      open.push(made);
      return made;
    },
    served: async (server) => {
      const made = await server;
      open.push(made);
      return made;
    },
  };
}

/** Press Check in the details, and wait for what it says. */
export async function checkResult(page: Visit["page"]): Promise<string> {
  await page.getByRole("button", { name: "Details" }).click();
  await page.getByRole("button", { name: "Check" }).click();
  const result = page.locator("#check-result");
  await page.waitForFunction(() => document.getElementById("check-result")!.textContent !== "Checking");
  return (await result.textContent()) ?? "";
}

/** A camera next to the page's, with the same view: src/OrbitCamera, which tests/vectors hold to Python's. */
export async function cameraBeside({ page }: Visit): Promise<OrbitCamera> {
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

export function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}
