import { readFileSync } from "node:fs";

const FOLDER = new URL("../../tests/vectors/", import.meta.url);

export function vectorText(name: string): string {
  return readFileSync(new URL(name, FOLDER), "utf8");
}

export function vectors<T>(name: string): T {
  return JSON.parse(vectorText(name)) as T;
}
