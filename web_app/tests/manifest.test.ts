import { describe, expect, test } from "vitest";
import { type Read, readFile, readManifest, unsupported } from "../src/Manifest";
import { Refusal } from "../src/refusal";
import { type Schema, violation } from "../src/schema";
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
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).code).toBe(one.code);
    expect((error as Refusal).remedy).toMatch(/\.$|web$/);
  });
});

test.each(viewers)("what this viewer shows: $name", async (one) => {
  expect(unsupported(await readManifest(reader(one)))?.code).toBe(one.codes!.web);
});

test.each<[Schema, unknown, string | undefined]>([
  [{ type: "integer" }, 48.5, "the manifest: is no integer"],
  [{ type: "integer" }, 48, undefined],
  [{ type: "number" }, true, "the manifest: is no number"],
  [{ properties: { a: { items: { minimum: 0 } } } }, { a: [1, -1] }, "a.1: is below 0"],
  [{ prefixItems: [{ minimum: 1 }], items: { maximum: 0 } }, [1, 2], "1: is above 0"],
  [{ dependentRequired: { a: ["b"] } }, { a: 1 }, "the manifest: lacks b"],
  [{ additionalProperties: { type: "string" } }, { x: 1 }, "x: is no string"],
])("schema %j of %j", (schema, value, wrong) => {
  expect(violation(value as never, schema)).toBe(wrong);
});

test("a keyword that the schema may get later is not passed over", () => {
  expect(() => violation(1, { multipleOf: 2 })).toThrow("multipleOf is not supported");
});
