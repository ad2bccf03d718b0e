/** What lies beside the page: the files of a bundle, the list of bundles, and what a live server says of itself. */

import { BundleError } from "./errors";
import type { Read } from "./Manifest";

/** Where the page lies, without query and hash. */
export const HERE = new URL("./", document.baseURI);

/** A bundle in bundles.json. */
export interface Listed {
  id: string;
  path: string;
  name: string;
  student: string;
  target: string;
  precision: string;
  width: number;
  height: number;
  bytes: number;
  psnr: number | null;
  milliseconds: number | null;
  device: string | null;
  picture: string | null;
}

/** What a benchmark is to do. */
export interface Plan {
  bundles: readonly string[];
  warm_up_seconds: number;
  seconds: number;
  minutes: number | null;
}

/** server.json: only a live server has one. */
export interface ServerInfo {
  live: true;
  phone: boolean;
  benchmark: Plan | null;
}

/** So many bytes of a file have arrived. */
export type Arrived = (path: string, bytes: number) => void;

/** Reads the files of the bundle in the folder `base`. */
export function reader(base: URL, arrived: Arrived = () => undefined): Read {
  return (path, sha256) => content(fileUrl(base, path, sha256), path, (bytes) => arrived(path, bytes));
}

/** With its digest in the URL a file never changes, so that no cache can mix two exports. */
export function fileUrl(base: URL, path: string, sha256?: string): URL {
  const url = new URL(path.split("/").map(encodeURIComponent).join("/"), base);
  if (sha256) url.searchParams.set("v", sha256.slice(0, 16));
  return url;
}

async function content(
  url: URL,
  name: string,
  arrived: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    const response = await fetch(url);
    if (response.status === 404) return null;
    if (!response.ok) throw new BundleError("unreachable", `${name}: the server says ${response.status}.`);
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let bytes = 0;
    const stream = response.body?.getReader();
    for (let part = await stream?.read(); part && !part.done; part = await stream?.read()) {
      chunks.push(part.value);
      bytes += part.value.length;
      arrived(bytes);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  } catch (error) {
    if (error instanceof BundleError) throw error;
    const offline = navigator.onLine ? "the server does not answer" : "this device is offline";
    throw new BundleError("unreachable", `${name} cannot be loaded: ${offline}.`);
  }
}

/** A JSON file beside the page; null where there is none. */
async function json<T>(name: string): Promise<T | null> {
  const bytes = await content(new URL(name, HERE), name, () => undefined);
  if (!bytes) return null;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch (error) {
    throw new BundleError("not_a_bundle", `${name} cannot be read (${(error as Error).message}).`);
  }
}

/** The bundles beside the page; null where it has one bundle alone. */
export async function listed(): Promise<Listed[] | null> {
  return (await json<{ bundles: Listed[] }>("bundles.json"))?.bundles ?? null;
}

/** What the server says of itself; null: any host of files, or no answer. */
export const server: Promise<ServerInfo | null> = json<ServerInfo>("server.json").catch(() => null);

/** A photo that the teacher saw. */
export interface Photo {
  path: string;
  c2w: number[];
}

/** The photos of a live server. */
export async function photos(): Promise<Photo[]> {
  if (!(await server)) return [];
  return (await json<{ photos: Photo[] }>("photos.json").catch(() => null))?.photos ?? [];
}
