/** The part of JSON Schema (2020-12) that nelf's manifest uses. An unknown keyword is refused, not passed over. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Schema = { [keyword: string]: Json };

const ANNOTATIONS = new Set(["$schema", "$id", "title", "description"]);

const TYPES: Record<string, (value: Json) => boolean> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

type Check = (value: Json, rule: Json, schema: Schema, where: string) => string | undefined;

/** Keyword to check: what is wrong with a value, if anything. A keyword speaks only of the types it is about. */
const CHECKS: Record<string, Check> = {
  type: (value, rule) => (TYPES[rule as string]!(value) ? undefined : `is no ${rule}`),
  const: (value, rule) => (value === rule ? undefined : `is not ${JSON.stringify(rule)}`),
  enum: (value, rule) =>
    (rule as Json[]).includes(value) ? undefined : `is none of ${JSON.stringify(rule)}`,
  minimum: (value, rule) =>
    ofType("number", value) && value < (rule as number) ? `is below ${rule}` : undefined,
  maximum: (value, rule) =>
    ofType("number", value) && value > (rule as number) ? `is above ${rule}` : undefined,
  exclusiveMinimum: (value, rule) =>
    ofType("number", value) && value <= (rule as number) ? `is not above ${rule}` : undefined,
  minLength: (value, rule) =>
    ofType("string", value) && [...value].length < (rule as number) ? `is shorter than ${rule}` : undefined,
  pattern: (value, rule) =>
    ofType("string", value) && !new RegExp(rule as string, "u").test(value)
      ? `does not match ${rule}`
      : undefined,
  minItems: (value, rule) =>
    Array.isArray(value) && value.length < (rule as number) ? `has fewer than ${rule} entries` : undefined,
  maxItems: (value, rule) =>
    Array.isArray(value) && value.length > (rule as number) ? `has more than ${rule} entries` : undefined,
  items: (value, rule, schema, where) =>
    Array.isArray(value)
      ? first(value.slice(((schema.prefixItems as Json[]) ?? []).length), (item, i) =>
          violation(item, rule as Schema, at(where, i + ((schema.prefixItems as Json[]) ?? []).length)),
        )
      : undefined,
  prefixItems: (value, rule, _, where) =>
    Array.isArray(value)
      ? first((rule as Schema[]).slice(0, value.length), (one, i) => violation(value[i]!, one, at(where, i)))
      : undefined,
  required: (value, rule) => {
    const missing = isObject(value)
      ? (rule as string[]).find((key) => !Object.hasOwn(value, key))
      : undefined;
    return missing === undefined ? undefined : `lacks ${missing}`;
  },
  dependentRequired: (value, rule) =>
    isObject(value)
      ? first(Object.entries(rule as Record<string, string[]>), ([key, others]) =>
          Object.hasOwn(value, key) ? CHECKS.required!(value, others, {}, "") : undefined,
        )
      : undefined,
  properties: (value, rule, _, where) =>
    isObject(value)
      ? first(Object.entries(rule as Record<string, Schema>), ([key, one]) =>
          Object.hasOwn(value, key) ? violation(value[key]!, one, at(where, key)) : undefined,
        )
      : undefined,
  additionalProperties: (value, rule, schema, where) => {
    const known = (schema.properties as Record<string, Json>) ?? {};
    return isObject(value)
      ? first(Object.keys(value), (key) =>
          Object.hasOwn(known, key) ? undefined : violation(value[key]!, rule as Schema, at(where, key)),
        )
      : undefined;
  },
  allOf: (value, rule, _, where) => first(rule as Schema[], (one) => violation(value, one, where)),
  if: (value, rule, schema, where) =>
    violation(value, rule as Schema, where) === undefined && schema.then
      ? violation(value, schema.then as Schema, where)
      : undefined,
  // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema, never awaited
  then: () => undefined, // belongs to `if`
};

/** What is wrong with `value`, with its place in front; undefined where it satisfies `schema`. */
export function violation(value: Json, schema: Schema, where = ""): string | undefined {
  return first(Object.entries(schema), ([keyword, rule]) => {
    if (ANNOTATIONS.has(keyword)) return undefined;
    const check = CHECKS[keyword];
    if (!check) throw new Error(`JSON Schema keyword ${keyword} is not supported`);
    const wrong = check(value, rule, schema, where);
    return wrong === undefined || wrong.includes(": ") ? wrong : `${where || "the manifest"}: ${wrong}`;
  });
}

export function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function at(where: string, key: string | number): string {
  return where ? `${where}.${key}` : `${key}`;
}

function ofType(type: "number", value: Json): value is number;
function ofType(type: "string", value: Json): value is string;
function ofType(type: string, value: Json): boolean {
  return typeof value === type;
}

function first<T, R>(values: readonly T[], of: (value: T, index: number) => R | undefined): R | undefined {
  for (const [index, value] of values.entries()) {
    const found = of(value, index);
    if (found !== undefined) return found;
  }
  return undefined;
}
