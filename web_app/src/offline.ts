/**
 * Keeps the page and the bundle for use without a network, and says in which state that is.
 *
 * Every file of a bundle has its digest in its URL, so two versions lie next to each other, and the manifest says which one
 * counts. It is put in after all its files, and the files of the one before go last: what is kept is never a mix.
 */

import { type Manifest, type Read, readFile } from "./Manifest";
import { WORKER_URL } from "./NelfModel";
import { fileUrl, HERE, type ServerInfo } from "./site";

const PATIENCE = 4000; // ms for the service worker to start
const RELOADED = `nelf loaded again ${HERE.pathname}`;

export type Offline = "kept" | "keeping" | "local" | "unsupported" | "certificate" | "full" | "failed";

export const OFFLINE_NAMES: Record<Offline, string> = {
  kept: "ready: this scene opens without a network",
  keeping: "not yet: the scene is being kept",
  local: "not needed: the scene is served by this machine",
  unsupported: "no: this browser keeps pages only over HTTPS",
  certificate:
    "no: the browser does not trust the certificate. Install the authority's certificate, then reload",
  full: "no: this device has no room for the scene",
  failed: "no: the scene could not be kept",
};

/**
 * Start the service worker. Where the host does not isolate the page, the worker does from the next load on, so the page is
 * loaded again once. Never returns then.
 */
export async function startOffline(server: ServerInfo | null): Promise<Offline> {
  if (server && !server.phone) return "local";
  if (!("serviceWorker" in navigator) || !isSecureContext) return "unsupported";
  try {
    await navigator.serviceWorker.register(new URL("./sw.js", HERE));
  } catch (error) {
    return (error as DOMException).name === "SecurityError" ? "certificate" : "failed";
  }
  if (!crossOriginIsolated && !reloadedBefore()) {
    const ready = navigator.serviceWorker.ready.then(() => true);
    if (await Promise.race([ready, new Promise((resolve) => setTimeout(resolve, PATIENCE, false))])) {
      location.reload();
      await new Promise(() => undefined);
    }
  }
  return "keeping";
}

function reloadedBefore(): boolean {
  try {
    const before = sessionStorage.getItem(RELOADED) !== null;
    sessionStorage.setItem(RELOADED, "1");
    return before;
  } catch {
    return true; // no storage: it might never end
  }
}

/** What is to be kept of a bundle. */
export interface Kept {
  manifest: Manifest;
  base: URL;
  read: Read;
  model: Uint8Array<ArrayBuffer>;
  /** URLs of the runtime's files. */
  runtime: readonly string[];
}

/** Keep the page and a bundle; older ones of both go. */
export async function keep(kept: Kept): Promise<Offline> {
  try {
    const cache = await caches.open(`nelf ${HERE.href}`);
    const page = await freshPage();
    if (!page) return "keeping"; // another version lies there already: the next load keeps that
    const app = [...page.files, ...kept.runtime];
    for (const url of app) if (!(await cache.match(url))) await cache.add(url);
    const files = await keepFiles(cache, kept);
    for (const [url, body] of await entrances(kept)) await cache.put(url, body);
    await cache.put(HERE, page.response);
    await removeOld(cache, kept.base, new Set([...app, ...files]));
    return "kept";
  } catch (error) {
    return (error as DOMException).name === "QuotaExceededError" ? "full" : "failed";
  }
}

/** The page as it lies on the host, and its files; undefined where that is not the version that runs. */
async function freshPage(): Promise<{ response: Response; files: string[] } | undefined> {
  const links = document.querySelectorAll<HTMLLinkElement>("link[href]");
  const scripts = document.querySelectorAll<HTMLScriptElement>("script[src]");
  const parts = [...[...links].map((one) => one.href), ...[...scripts].map((one) => one.src)];
  const response = await fetch(HERE, { cache: "no-cache" });
  const text = await response.clone().text();
  const current = parts.every((url) => text.includes(new URL(url).pathname.split("/").at(-1)!));
  return response.ok && current ? { response, files: [...parts, WORKER_URL] } : undefined;
}

async function keepFiles(cache: Cache, { manifest, base, read, model }: Kept): Promise<string[]> {
  const urls: string[] = [];
  for (const { path, sha256, role } of manifest.files) {
    if (role === "page") continue; // that is this page
    const url = fileUrl(base, path, sha256).href;
    urls.push(url);
    if (await cache.match(url)) continue;
    const bytes = path === manifest.model.path ? model : await readFile(manifest, path, read);
    await cache.put(url, new Response(bytes));
  }
  return urls;
}

/** What says which bundle is shown: it changes under the same URL. */
async function entrances({ manifest, base }: Kept): Promise<[string, Response][]> {
  const found: [string, Response][] = [
    [new URL("manifest.json", base).href, new Response(JSON.stringify(manifest))],
  ];
  if (base.href === HERE.href) return found;
  const list = new URL("bundles.json", HERE).href;
  const response = await fetch(list);
  return response.ok ? [...found, [list, response]] : found;
}

/** Files of former versions of the page, the runtime and this bundle. */
async function removeOld(cache: Cache, base: URL, current: ReadonlySet<string>): Promise<void> {
  for (const { url } of await cache.keys()) {
    const ofBundle = url.startsWith(base.href) && new URL(url).searchParams.has("v");
    const [folder, ...rest] = url.slice(HERE.href.length).split("/");
    const ofPage = rest.length > 0 && folder !== LITERT_FOLDER && /^(viewer|litert-[\d.]+)$/.test(folder!);
    const other = base.href === HERE.href && url.startsWith(new URL("bundles/", HERE).href);
    if ((ofBundle || ofPage) && !other && !current.has(url)) await cache.delete(url);
  }
}
