import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bundle, type Hosted, severalBundles } from "./hosts";
import { PHONE, setUp } from "./setup";

const { visit } = setUp();
const PLAN = { bundles: ["demo", "constant"], warm_up_seconds: 0.3, seconds: 2.5, minutes: null };
let host: Hosted;

beforeAll(async () => {
  host = await severalBundles({ demo: bundle("demo"), constant: bundle("constant") }, { benchmark: PLAN });
});
beforeEach(() => void host.reports.splice(0));
afterAll(() => host.close());

test("a benchmark says what it sends, waits for a tap, and brings its figures back", async () => {
  const shown = await visit(`${host.url}?benchmark`, { ...PHONE, asItIs: true });
  const { page, complaints } = shown;
  await page.getByRole("heading", { name: "Benchmark" }).waitFor();
  expect(await page.locator("#bench-plan").textContent()).toBe(
    "2 bundles, each: 0.3 s to warm up, 2.5 s measured.",
  );
  await expect.poll(() => page.locator("#bench-sent").textContent()).toContain("HeadlessChrome");
  expect(host.reports, "nothing before the tap").toEqual([]);
  await page.getByRole("button", { name: "Start" }).tap();
  await page.getByText("Done. You can close this page.").waitFor({ timeout: 60_000 });
  const report = host.reports.at(-1)!;
  expect(report).toMatchObject({ protocol: 2, finished: true, stopped: null, visible: true });
  expect(report.device.cores).toBeGreaterThan(0);
  expect(report.device.screen).toEqual([390, 844, 2]);
  expect(report.results.map((one) => one.bundle)).toEqual(["demo", "constant"]);
  for (const {
    frames,
    latency,
    sustained,
    golden_psnr,
    load_milliseconds,
    first_frame_milliseconds,
  } of report.results) {
    expect(frames).toBeGreaterThan(5);
    expect(latency.median).toBeGreaterThan(0);
    expect(latency.p95).toBeGreaterThanOrEqual(latency.median);
    expect(sustained.length).toBeGreaterThanOrEqual(2);
    expect(sustained.reduce((sum, one) => sum + one.frames, 0)).toBeLessThanOrEqual(frames);
    expect(golden_psnr).toBeGreaterThan(40);
    expect(load_milliseconds).toBeGreaterThan(0);
    expect(first_frame_milliseconds).toBeGreaterThan(0);
  }
  expect(host.reports.length, "it reports on the way").toBeGreaterThan(1);
  expect(await page.locator("#bench-rows tr").count()).toBe(2);
  expect(complaints).toEqual([]);
});

test("a page that is reloaded in the middle ends the run, keeps what it has, and does not start again", async () => {
  const shown = await visit(`${host.url}?benchmark=auto&backend=wasm`, { asItIs: true });
  const { page } = shown;
  await page.getByText(/1 of 2, untrained: measuring, 1 of/).waitFor({ timeout: 60_000 });
  await page.reload();
  await page.getByText("The last run was cut short").waitFor();
  await expect.poll(() => host.reports.at(-1)?.stopped).toBe("the page was closed or reloaded");
  const last = host.reports.at(-1)!;
  expect(last.finished).toBe(false);
  expect(last.results).toHaveLength(1);
  expect(last.results[0]!.frames).toBeGreaterThan(1);
  await page.getByRole("button", { name: "Start" }).waitFor();
});

test("a page that is hidden ends the run", async () => {
  const shown = await visit(`${host.url}?benchmark=auto&backend=wasm`, { asItIs: true });
  const { page } = shown;
  await page.getByText(/1 of 2, untrained: measuring/).waitFor({ timeout: 60_000 });
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.getByText("Stopped: the page was hidden.").waitFor();
  expect(host.reports.at(-1)).toMatchObject({
    finished: false,
    stopped: "the page was hidden",
    visible: false,
  });
});

test("where nobody asks for one", async () => {
  const other = await severalBundles({ demo: bundle("demo") });
  expect((await (await visit(`${other.url}?benchmark`)).failed()).what).toBe(
    "Nobody asks for a benchmark here.",
  );
  await other.close();
});
