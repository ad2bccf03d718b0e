import { describe, expect, test } from "vitest";
import { BundleError } from "../src/errors";
import { type Read, readFile, readManifest, unsupported } from "../src/Manifest";
import { vectors, vectorText } from "./vectors";

interface Case {
  name: string;
  manifest: string;
  code?: string;
  text?: string;
  replace?: [string, string][];
  keep?: number;
  pad?: number;
  base64?: string;
  files?: Record<string, string | null>;
  codes?: { web?: string };
}

interface Cases {
  files: Record<string, string>;
  good: Case[];
  bad: Case[];
  viewers: Case[];
}

const { files, good, bad, viewers } = vectors<Cases>("bundles.json");
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

function manifestOf(one: Case): Uint8Array<ArrayBuffer> {
  if (one.base64) return new Uint8Array(Buffer.from(one.base64, "base64"));
  let text = one.text ?? vectorText(`manifests/${one.manifest}.json`);
  for (const [from, to] of one.replace ?? []) {
    expect(text).toContain(from);
    text = text.replace(from, () => to);
  }
  return encode(text.slice(0, one.keep).padEnd(one.pad ?? 0)); // a padded one is all ASCII
}

function reader(one: Case): Read {
  const content = { ...files, ...one.files };
  return async (path) => {
    if (path === "manifest.json" && content[path] === undefined) return manifestOf(one);
    const text = content[path];
    return typeof text === "string" ? encode(text) : null;
  };
}

/** As strict as `nelf verify`: every listed file. */
async function open(read: Read): Promise<void> {
  const manifest = await readManifest(read);
  for (const file of manifest.files) await readFile(manifest, file.path, read);
}

test("there are cases enough", () => {
  expect(bad.length).toBeGreaterThanOrEqual(30);
  expect(good.length).toBeGreaterThanOrEqual(10);
});

describe.each(good)("good: $name", (one) => {
  test("is read", async () => {
    await expect(open(reader(one))).resolves.toBeUndefined();
  });
});

describe.each(bad)("bad: $name", (one) => {
  test(`is refused as ${one.code}`, async () => {
    const error = await open(reader(one)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BundleError);
    expect((error as BundleError).code).toBe(one.code);
    expect((error as BundleError).remedy).toMatch(/\.$|web$/);
  });
});

test.each(viewers)("what this viewer shows: $name", async (one) => {
  expect(unsupported(await readManifest(reader(one)))?.code).toBe(one.codes!.web);
});

test.each([
  ["a width in quotes", /^manifest\.json: image\.width: .*"string".*"integer"/],
  ["no radius", /^manifest\.json: region: .*"radius"/],
  ["parity without a reason", /^manifest\.json: parity: .*"reason"/],
  ["no camera", /^manifest\.json: Instance .*"camera"/],
  ["a focus of words", /^manifest\.json: camera\.focus\.0: .*"number"/],
])("%s: the message names the place", async (name, message) => {
  await expect(open(reader(bad.find((one) => one.name === name)!))).rejects.toThrow(message);
});
