/** The page: a bundle beside it, a list of bundles, two of them side by side, or a benchmark. */

import { benchmarkPage } from "./benchmark_page";
import { show } from "./elements";
import { BundleError } from "./errors";
import { readGolden } from "./golden";
import { type Manifest, type Read, readFile, readManifest } from "./Manifest";
import { type Offline, startOffline } from "./offline";
import * as page from "./page";
import { openScene, type Scene } from "./scene";
import { HERE, type Listed, listed, type Plan, reader, type ServerInfo, server } from "./site";
import { startPage } from "./start";

declare global {
  interface Window {
    /** For tests and the curious: the viewer, once it is open. */
    nelf?: Scene;
  }
}

const asked = new URLSearchParams(location.search);
const offline = server.then(startOffline);

/** Where the bundle `id` lies. */
function baseOf(bundles: readonly Listed[], id: string): URL {
  const found = bundles.find((one) => one.id === id);
  if (found) return new URL(found.path, HERE);
  throw new BundleError(
    "not_a_bundle",
    `There is no bundle ${id} here, but ${bundles.map((one) => one.id).join(", ")}.`,
  );
}

async function open(): Promise<void> {
  if (!crossOriginIsolated) await offline; // it may load the page again
  const id = asked.get("bundle");
  const alone = id === null && !asked.has("benchmark") && (await isBundle(HERE));
  const bundles = alone ? null : await listed();
  if (asked.has("benchmark")) return benchmark(await server, bundles);
  if (!bundles) return scene([HERE]);
  if (id === null) return startPage(bundles);
  const other = asked.get("compare");
  show("home");
  return scene([id, ...(other === null ? [] : [other])].map((one) => baseOf(bundles, one)));
}

async function isBundle(base: URL): Promise<boolean> {
  return (await reader(base)("manifest.json")) !== null;
}

async function benchmark(info: ServerInfo | null, bundles: readonly Listed[] | null): Promise<void> {
  const plan: Plan | null | undefined = info?.benchmark;
  if (!plan) throw new BundleError("unreachable", "Nobody asks for a benchmark here.");
  const names = new Map(bundles?.map(({ id, name }) => [id, name]));
  const measured = plan.bundles.map((id) => ({
    id,
    name: names.get(id) ?? id,
    base: bundles ? baseOf(bundles, id) : HERE,
  }));
  await benchmarkPage(plan, measured, asked.get("benchmark") === "auto");
}

async function scene(bases: readonly URL[]): Promise<void> {
  show("viewer");
  const opened = await openScene(bases, asked).catch(async (error: unknown) => {
    page.fail(error);
    await golden(reader(bases[0]!)).catch(() => undefined); // there may be none to show
    return undefined;
  });
  if (!opened) return;
  window.nelf = opened;
  page.showOffline(await offline);
  await opened.settled;
  page.showOffline(await kept(opened, await offline));
}

/** Keep what was opened for use without a network, once it is shown. */
async function kept(opened: Scene, state: Offline): Promise<Offline> {
  if (state !== "keeping") return state;
  return opened.keep();
}

/** A golden view in the place of the picture. */
async function golden(read: Read): Promise<void> {
  const manifest: Manifest = await readManifest(read);
  const [first] = await readGolden(manifest, read);
  page.showGolden(manifest, await readFile(manifest, first!.image, read));
}

open().catch(page.fail);
