/** Servers and bundles for the tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import type { Manifest as Bundle } from "../src/Manifest";
import type { Report } from "../src/report";
import type { ServerInfo } from "../src/site";

/** The repository. */
export const ROOT = join(import.meta.dirname, "../..");
/** The bundle of `nelf view --example`. */
export const EXAMPLE = join(ROOT, "nelf/viewer/example");

export interface Manifest {
  name: string;
  version: string;
  target: string;
  files: { path: string; bytes: number; sha256: string }[];
  [key: string]: unknown;
}

export function needed(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set; run the tests with: make webtest`);
  return value;
}

export function bundle(name: string): string {
  return join(needed("NELF_BUNDLES"), name);
}

/** A copy of a bundle, changed. */
export function changedBundle(name: string, change: (folder: string) => void): string {
  const folder = join(mkdtempSync(join(tmpdir(), "nelf-web-")), name);
  cpSync(bundle(name), folder, { recursive: true });
  change(folder);
  return folder;
}

/** Change a manifest; sizes and hashes of its files are made right. */
export function changeManifest(folder: string, change: (manifest: Manifest) => void): void {
  const path = join(folder, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  for (const file of manifest.files) {
    const bytes = readFileSync(join(folder, file.path));
    file.bytes = bytes.length;
    file.sha256 = createHash("sha256").update(bytes).digest("hex");
  }
  change(manifest);
  writeFileSync(path, JSON.stringify(manifest));
}

export interface Served {
  url: string;
  close: () => Promise<void>;
}

/** `nelf view FOLDER` with options, as a person starts it. `variables`: of its environment. */
export async function nelfView(
  folder: string,
  options: readonly string[] = ["--no-open"],
  variables: Record<string, string> = {},
): Promise<Served> {
  const command = ["-m", "nelf.cli.main", "view", folder, ...options];
  const child = spawn(needed("NELF_PYTHON"), command, {
    env: { ...process.env, PYTHONPATH: ROOT, ...variables },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const url = await firstLine(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    url,
    close: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout!.once("data", (data: Buffer) => resolve(data.toString().split("\n")[0]!));
    child.once("exit", (code) => reject(new Error(`nelf view ended with code ${code}`)));
  });
}

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

export interface Hosted extends Served {
  /** Files that are not in the folder, or not as they are there. */
  files: Map<string, string | Buffer>;
  /** What was sent to `report`. */
  reports: Report[];
  /** Paths at which the connection breaks. */
  broken: Set<string>;
}

/** Any host of files, below a path (as people write it): no header that helps, no type for what it does not know. */
export async function plainHost(
  folder: string,
  prefix = "/",
  headers: Record<string, string> = {},
): Promise<Hosted> {
  const files = new Map<string, string | Buffer>();
  const reports: Report[] = [];
  const broken = new Set<string>();
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://host").pathname);
    const name = path.slice(prefix.length) || "index.html";
    if (broken.has(name)) {
      request.socket.destroy();
      return;
    }
    if (request.method === "POST") {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        reports.push(JSON.parse(Buffer.concat(parts).toString()) as Report);
        response.writeHead(204).end();
      });
      return;
    }
    try {
      const body = files.get(name) ?? readFileSync(join(folder, name));
      const type = TYPES[extname(name)];
      const all = type ? { "content-type": type, ...headers } : headers;
      response.writeHead(path.startsWith(prefix) ? 200 : 404, { "cache-control": "no-cache", ...all });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${encodeURI(prefix)}`;
  return {
    url,
    files,
    reports,
    broken,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** A live server of one bundle, as `nelf view` is one: it isolates the page, and nothing is kept for later. */
export async function liveHost(folder: string): Promise<Hosted> {
  const host = await plainHost(folder, "/", ISOLATED);
  host.files.set("server.json", JSON.stringify({ live: true, phone: false, benchmark: null }));
  return host;
}

/** A live server with several bundles, as `nelf view A B` is one: the page, bundles.json, and what `server` says. */
export async function severalBundles(
  ids: Record<string, string>,
  server: Partial<ServerInfo> = {},
): Promise<Hosted> {
  const folder = mkdtempSync(join(tmpdir(), "nelf-web-"));
  const bundles = Object.entries(ids).map(([id, source]) => {
    const manifest = JSON.parse(readFileSync(join(source, "manifest.json"), "utf8")) as Bundle;
    for (const { path, role } of manifest.files) {
      const to = join(folder, role === "page" ? path : `bundles/${id}/${path}`);
      mkdirSync(dirname(to), { recursive: true });
      cpSync(join(source, path), to);
    }
    cpSync(join(source, "manifest.json"), join(folder, "bundles", id, "manifest.json"));
    const bytes = manifest.files.reduce((sum, one) => sum + (one.role === "page" ? 0 : one.bytes), 0);
    const { name, target, precision, image, student } = manifest;
    const { width, height } = image;
    const known = { psnr: 28.4, milliseconds: 12.5, device: "this machine", picture: null };
    return {
      id,
      path: `bundles/${id}/`,
      name,
      student: student.name,
      target,
      precision,
      width,
      height,
      bytes,
      ...known,
    };
  });
  const host = await plainHost(folder, "/", ISOLATED);
  host.files.set("bundles.json", JSON.stringify({ bundles }));
  host.files.set("server.json", JSON.stringify({ live: true, phone: false, benchmark: null, ...server }));
  return host;
}
