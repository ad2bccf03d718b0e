/** Benchmark mode's page: says what it will send before it starts, and sends it to the server of the page alone. */

import { BACKEND_NAMES } from "./backends";
import { Benchmark, type Measured } from "./benchmark";
import { element, fill, find, on, show, text } from "./elements";
import { BundleError } from "./errors";
import { type Device, type Result, send, sendAtLast, thisDevice } from "./report";
import type { Plan } from "./site";
import { WakeLock } from "./wake_lock";

const SEND_EVERY = 5000; // ms
const RUNNING = "nelf benchmark runs";

/** Offer the benchmark. With `auto` it starts at once, unless a run was cut short by a reload of this page. */
export async function benchmarkPage(plan: Plan, bundles: readonly Measured[], auto: boolean): Promise<void> {
  document.title = "Benchmark · nelf";
  const device = await thisDevice();
  show("bench");
  fill(find("bench-sent"), told(device));
  const minutes = plan.minutes ? `, then ${plan.minutes} minutes without a pause` : "";
  const count = bundles.length === 1 ? "1 bundle" : `${bundles.length} bundles, each`;
  text("bench-plan", `${count}: ${plan.warm_up_seconds} s to warm up, ${plan.seconds} s measured${minutes}.`);
  const cut = sessionStorage.getItem(RUNNING) !== null;
  sessionStorage.removeItem(RUNNING);
  if (cut) text("bench-state", "The last run was cut short: the page was reloaded. What it had was sent.");
  const start = () => {
    show("bench-start", false);
    show("bench-picture");
    const benchmark = new Benchmark(plan, device, freshCanvas, (what) => text("bench-state", what));
    void run(benchmark, bundles);
  };
  on("bench-start", "click", start);
  if (auto && !cut) start();
}

async function run(benchmark: Benchmark, bundles: readonly Measured[]): Promise<void> {
  const wake = new WakeLock();
  let ended = false;
  const stop = (why: string) => {
    if (ended || benchmark.stopped !== null) return;
    benchmark.stopped = why;
    sendAtLast(benchmark.report());
  };
  sessionStorage.setItem(RUNNING, "1");
  const hidden = () => document.visibilityState === "hidden" && stop("the page was hidden");
  document.addEventListener("visibilitychange", hidden);
  addEventListener("pagehide", () => stop("the page was closed or reloaded"));
  hidden();
  const timer = setInterval(() => {
    wake.moved(2 * SEND_EVERY);
    if (benchmark.stopped === null) void send(benchmark.report());
  }, SEND_EVERY);
  try {
    await benchmark.run(bundles);
  } catch (error) {
    const { message } = error as Error;
    benchmark.stopped ??= error instanceof BundleError ? `${error.code}: ${message}` : message;
  }
  ended = true;
  clearInterval(timer);
  wake.release();
  sessionStorage.removeItem(RUNNING);
  const report = benchmark.report();
  table(report.results);
  const taken = await send(report);
  text(
    "bench-state",
    benchmark.stopped === null ? "Done. You can close this page." : `Stopped: ${benchmark.stopped}.`,
  );
  if (!taken)
    text("bench-trouble", "The computer that serves this page did not take the report. Here it is.");
}

/** A canvas keeps the kind of its first context, so each bundle gets a new one. */
function freshCanvas(): HTMLCanvasElement {
  const old = find<HTMLCanvasElement>("bench-picture");
  const fresh = old.cloneNode() as HTMLCanvasElement;
  old.replaceWith(fresh);
  return fresh;
}

function told({ user_agent, platform, mobile, cores, memory_gb, screen, gpu }: Device): [string, string][] {
  return [
    ["Browser", user_agent],
    ["System", mobile ? `${platform}, mobile` : platform],
    [
      "Processor",
      memory_gb === null ? `${cores} cores` : `${cores} cores, ${memory_gb} GB of memory or more`,
    ],
    ["Screen", `${screen[0]} × ${screen[1]}, ratio ${screen[2]}`],
    ["Graphics", gpu ?? "not told"],
  ];
}

function table(results: readonly Result[]): void {
  const rows = results.map(({ bundle, backend, latency, frames, golden_psnr }) => {
    const row = element("tr");
    const psnr = golden_psnr === null ? "–" : `${golden_psnr.toFixed(1)} dB`;
    const times = `${latency.median.toFixed(1)} ms, 95 % in ${latency.p95.toFixed(1)} ms`;
    const cells = [bundle, BACKEND_NAMES[backend], times, String(frames), psnr];
    row.append(...cells.map((cell) => element("td", cell)));
    return row;
  });
  find("bench-rows").replaceChildren(...rows);
  show("bench-table", rows.length > 0);
}
