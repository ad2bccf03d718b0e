/**
 * Pictures of the page at four widths, light and dark, for people to look at: `python -m tools.web screenshots`.
 *
 * They go to runs/web/screenshots, and sheets of them to docs/images.
 */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { afterAll, beforeAll, test } from "vitest";
import type { Manifest } from "../src/Manifest";
import { bundle, EXAMPLE, type Hosted, needed, severalBundles } from "./hosts";
import { setUp } from "./setup";
import type { Visit } from "./visit";

const FOLDER = join(needed("NELF_ARTEFACTS"), "screenshots");
const SHEETS = needed("NELF_SHEETS");
const SIZES = [
  [360, 640],
  [390, 844],
  [768, 1024],
  [1280, 800],
] as const;
const SCENES = ["start", "first", "hud", "details", "compare", "error", "benchmark"] as const;
const ON_SHEET = ["start", "hud", "compare", "error"];
const PLAN = { bundles: ["stilllife"], warm_up_seconds: 5, seconds: 30, minutes: 5 };

const { visit } = setUp();
let several: Hosted;
let broken: Hosted;

beforeAll(async () => {
  mkdirSync(FOLDER, { recursive: true });
  const ids = { stilllife: EXAMPLE, untrained: bundle("demo"), constant: bundle("constant") };
  several = await severalBundles(ids, { benchmark: PLAN });
  const list = JSON.parse(several.files.get("bundles.json") as string) as {
    bundles: { id: string; picture: string }[];
  };
  for (const one of list.bundles) {
    one.picture = `${one.id}.png`;
    several.files.set(one.picture, goldenPng(ids[one.id as keyof typeof ids]));
  }
  several.files.set("bundles.json", JSON.stringify(list));
  broken = await severalBundles(ids);
  broken.broken.add("bundles/stilllife/model.tflite");
});
afterAll(async () => {
  await several.close();
  await broken.close();
});

for (const scheme of ["light", "dark"] as const) {
  for (const [width, height] of SIZES) {
    test(`${width} x ${height}, ${scheme}`, async () => {
      const options = { viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" } as const;
      for (const scene of SCENES) {
        const shown = await visit(addressOf(scene), { ...options, asItIs: scene === "first" });
        await arrange(scene, shown);
        await shown.page.screenshot({ path: join(FOLDER, `${scene}-${width}-${scheme}.png`) });
        await shown.close();
      }
    });
  }

  test(`sheet, ${scheme}`, async () => {
    const { page } = await visit("about:blank", {
      viewport: { width: 1400, height: 900 },
      deviceScaleFactor: 1,
    });
    const rows = ON_SHEET.map((scene) => {
      const images = SIZES.map(([width]) => {
        const base64 = readFileSync(join(FOLDER, `${scene}-${width}-${scheme}.png`)).toString("base64");
        return `<img src="data:image/png;base64,${base64}" height="330" style="margin:6px;border:1px solid #888">`;
      });
      return `<div>${images.join("")}</div>`;
    });
    await page.setContent(
      `<body style="margin:6px;background:#bbb;white-space:nowrap">${rows.join("")}</body>`,
    );
    await page.screenshot({
      path: join(SHEETS, `web_viewer_${scheme}.jpg`),
      type: "jpeg",
      quality: 72,
      fullPage: true,
    });
  });
}

function addressOf(scene: (typeof SCENES)[number]): string {
  if (scene === "error") return `${broken.url}?bundle=stilllife`;
  const query = {
    start: "",
    first: "?bundle=stilllife&backend=threads",
    hud: "?bundle=stilllife",
    details: "?bundle=stilllife",
    compare: "?bundle=stilllife&compare=constant",
    benchmark: "?benchmark",
  };
  return `${several.url}${query[scene]}`;
}

/** Until it looks as it should. */
async function arrange(scene: (typeof SCENES)[number], shown: Visit): Promise<void> {
  const { page } = shown;
  if (scene === "start") {
    await page.locator("#cards li").last().waitFor();
    await page.waitForFunction(() => [...document.images].every((one) => one.complete));
  } else if (scene === "error") {
    await page.locator("#error-view").waitFor();
  } else if (scene === "benchmark") {
    await page.locator("#bench-sent dd").last().waitFor();
  } else {
    await shown.opened();
    if (scene === "hud" || scene === "compare") {
      await page.getByRole("button", { name: "Figures" }).click();
      for (let i = 0; i < 5; i++) {
        await page.keyboard.press("ArrowLeft");
        await page.waitForTimeout(130);
      }
    }
    if (scene === "details") await page.getByRole("button", { name: "Details" }).click();
    await shown.settled();
  }
}

/** The first golden view of a bundle as a PNG. */
function goldenPng(folder: string): Buffer {
  const { image, golden } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
  const { views } = JSON.parse(readFileSync(join(folder, golden), "utf8")) as { views: { image: string }[] };
  const pixels = readFileSync(join(folder, views[0]!.image));
  const { width, height, channels } = image;
  const rows = Array.from({ length: height }, (_, row) => {
    const line = pixels.subarray(row * width * channels, (row + 1) * width * channels);
    return Buffer.concat([Buffer.of(0), line]);
  });
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  size.set([8, channels === 4 ? 6 : 2, 0, 0, 0], 8);
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const signature = Buffer.of(137, 80, 78, 71, 13, 10, 26, 10);
  const data = deflateSync(Buffer.concat(rows));
  return Buffer.concat([signature, chunk("IHDR", size), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}
