/** `nelf view --phone` as a phone meets it: HTTPS by our own authority, trusted or not, and what goes over the wire. */

import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import type { Browser, Page, Request } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { nelfView, type Served } from "./hosts";
import { PHONE } from "./setup";
import { launch, Visit } from "./visit";

/** Of a page with an int8 bundle before its first picture. The example's is larger than that of `s` at 200 x 200. */
const MOST_BYTES = 4_500_000;

let phone: Served;
let trusting: Browser;
let stranger: Browser;

beforeAll(async () => {
  const cache = mkdtempSync(join(tmpdir(), "nelf-web-"));
  phone = await nelfView("--example", ["--phone"], { XDG_CACHE_HOME: cache });
  const authority = readFileSync(join(cache, "nelf/authority/authority.pem"), "utf8");
  const key = await keyOf(new URL(phone.url), new X509Certificate(certificateIn(authority)));
  trusting = await launch(true, [`--ignore-certificate-errors-spki-list=${key}`]);
  stranger = await launch();
});
afterAll(async () => {
  await Promise.all([trusting.close(), stranger.close()]);
  await phone.close();
});

function certificateIn(pem: string): string {
  return pem.slice(pem.indexOf("-----BEGIN CERTIFICATE-----"));
}

/** Hash of the server's public key; Node trusts the authority alone, and checks certificate and address. */
function keyOf({ hostname, port }: URL, authority: X509Certificate): Promise<string> {
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), ca: authority.toString() }, () => {
      const key = socket.getPeerX509Certificate()!.publicKey.export({ type: "spki", format: "der" });
      socket.destroy();
      resolve(createHash("sha256").update(key).digest("base64"));
    });
    socket.once("error", reject);
  });
}

/** Bytes of all answers so far to a page and its workers, by what was asked for. */
function wire(page: Page): () => Promise<Record<string, number>> {
  const requests: Request[] = [];
  page.context().on("requestfinished", (request) => requests.push(request));
  return async () => {
    const found: Record<string, number> = {};
    for (const request of requests) {
      const { responseBodySize, responseHeadersSize } = await request.sizes();
      const name = request.url().slice(phone.url.length).split("?")[0]!;
      found[name] = (found[name] ?? 0) + responseBodySize + responseHeadersSize;
    }
    return found;
  };
}

function sum(bytes: Record<string, number>): number {
  return Object.values(bytes).reduce((all, one) => all + one, 0);
}

function offline({ page }: Visit) {
  return page.locator("#offline").getAttribute("data-state");
}

test("without the token of this run nothing is given", async () => {
  const shown = await Visit.to(trusting, "about:blank", PHONE);
  const { page } = shown;
  const { origin } = new URL(phone.url);
  for (const path of ["", "manifest.json", "AAAAAAAAAAAAAAAAAAAAAA/"]) {
    const answer = await page.goto(`${origin}/${path}`);
    expect(answer!.status(), path).toBe(403);
    expect(await page.textContent("body")).toContain("scan the code in its terminal again");
  }
  await shown.close();
});

test("a certificate that was only clicked through: the scene is shown, not kept, and the page says why", async () => {
  const shown = await Visit.to(stranger, "about:blank", PHONE);
  const { page } = shown;
  await expect(page.goto(`${phone.url}?still&backend=threads`)).rejects.toThrow("ERR_CERT_AUTHORITY_INVALID");
  await page.waitForFunction(() => document.title === "Privacy error");
  await page.keyboard.type("thisisunsafe", { delay: 20 }); // Chromium's warning waits for this, as for a tap on Proceed
  await page.waitForURL(`${phone.url}**`);
  await shown.opened();
  await expect.poll(() => offline(shown)).toBe("certificate");
  await page.getByRole("button", { name: "Details" }).tap();
  await page.getByRole("link", { name: "Get the certificate" }).waitFor();
  await shown.close();
});

test("trusted: few bytes to the first picture, and the scene opens without the server", async () => {
  expect(new URL(phone.url).protocol).toBe("https:");
  const shown = await Visit.to(trusting, "about:blank", PHONE);
  const { page, complaints } = shown;
  const bytes = wire(page);
  await page.goto(`${phone.url}?still&backend=threads`);
  await shown.opened();
  const first = await bytes();
  expect(first["model.tflite"]).toBeGreaterThan(1e6);
  expect(first["litert-2.5.3/litert_wasm_threaded_internal.wasm.gz"]).toBeGreaterThan(2e6);
  expect(sum(first), JSON.stringify(first)).toBeLessThan(MOST_BYTES);
  expect(await page.evaluate(() => [isSecureContext, crossOriginIsolated])).toEqual([true, true]);
  await expect.poll(() => offline(shown), { timeout: 30_000 }).toBe("kept");
  const then = await bytes();
  const again = ["model.tflite", "litert-2.5.3/litert_wasm_threaded_internal.wasm.gz"];
  for (const name of again) expect(then[name], `${name} comes once`).toBe(first[name]);

  await phone.close();
  await page.reload();
  await shown.opened();
  expect((await shown.state()).backend).toBe("threads");
  await expect.poll(() => offline(shown)).toBe("kept");
  expect(complaints.filter((one) => !/ERR_(FAILED|CONNECTION_REFUSED)/.test(one))).toEqual([]);
  await shown.close();
});
