/** What a benchmark sends back: the device as the browser tells it, and the times of each bundle. */

import { gpuAdapter } from "./backends";
import type { Latency, Second } from "./course";
import type { Backend } from "./messages";
import { HERE } from "./site";

export const PROTOCOL = 2;

export interface Device {
  type: "browser";
  user_agent: string;
  platform: string;
  cores: number;
  memory_gb: number | null;
  screen: readonly [number, number, number];
  gpu: string | null;
  mobile: boolean | null;
}

/** Of one bundle. Where a browser tells nothing there is null, or an empty list: apps tell more. */
export interface Result {
  bundle: string;
  model_sha256: null;
  backend: Backend;
  passed_over: [];
  threads: number;
  load_milliseconds: number;
  first_frame_milliseconds: number;
  frames: number;
  rate: number;
  latency: Latency;
  sustained: Second[];
  conditions: [];
  memory_mb: null;
  golden_psnr: number | null;
}

export interface Report {
  protocol: number;
  finished: boolean;
  stopped: string | null;
  device: Device;
  results: Result[];
  visible: boolean;
}

/** What only some browsers tell. */
interface Told {
  deviceMemory?: number;
  userAgentData?: { platform: string; mobile: boolean };
}

/** What the browser tells of the device, and no more. */
export async function thisDevice(): Promise<Device> {
  const { deviceMemory, userAgentData } = navigator as Told;
  return {
    type: "browser",
    user_agent: navigator.userAgent,
    platform: userAgentData?.platform || navigator.platform,
    cores: navigator.hardwareConcurrency,
    memory_gb: deviceMemory ?? null,
    screen: [screen.width, screen.height, devicePixelRatio],
    gpu: await gpuName(),
    mobile: userAgentData?.mobile ?? null,
  };
}

async function gpuName(): Promise<string | null> {
  const info = (await gpuAdapter())?.info;
  const name = info && [info.vendor, info.architecture, info.description].filter(Boolean).join(" ");
  if (name) return name;
  const gl = document.createElement("canvas").getContext("webgl2");
  const details = gl?.getExtension("WEBGL_debug_renderer_info");
  const renderer = gl
    ? String(gl.getParameter(details ? details.UNMASKED_RENDERER_WEBGL : gl.RENDERER))
    : null;
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return renderer;
}

const URL_OF_REPORTS = new URL("report", HERE);

/** Send a report to the server that serves the page. Returns whether it took it. */
export async function send(report: Report): Promise<boolean> {
  const body = JSON.stringify(report);
  const headers = { "content-type": "application/json" };
  const answer = fetch(URL_OF_REPORTS, { method: "POST", headers, body });
  return answer.then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Send a report while the page goes away. */
export function sendAtLast(report: Report): void {
  navigator.sendBeacon(URL_OF_REPORTS, new Blob([JSON.stringify(report)], { type: "application/json" }));
}
