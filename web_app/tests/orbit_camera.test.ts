import { describe, expect, test } from "vitest";
import type { Manifest } from "../src/Manifest";
import { OrbitCamera } from "../src/OrbitCamera";
import { vectors } from "./vectors";

type Call = ["resize" | "drag" | "pan" | "pinch" | "begin" | "end" | "step" | "reset", ...number[]];

interface Case {
  name: string;
  manifest: string;
  start: number[];
  steps: { call: Call; c2w: number[]; moving: boolean }[];
}

const { tolerance, cases } = vectors<{ tolerance: number; cases: Case[] }>("poses.json");

function perform(camera: OrbitCamera, [method, ...values]: Call): void {
  (camera[method] as (...values: number[]) => unknown).apply(camera, values);
}

function difference(a: readonly number[], b: readonly number[]): number {
  expect(a).toHaveLength(12);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

test("there are cases enough", () => {
  expect(cases.reduce((sum, one) => sum + one.steps.length, 0)).toBeGreaterThanOrEqual(200);
});

describe.each(cases)("$name", ({ manifest, start, steps }) => {
  test("goes where Python's goes", () => {
    const camera = new OrbitCamera(vectors<Manifest>(`manifests/${manifest}.json`));
    expect(difference(camera.c2w, start)).toBeLessThanOrEqual(tolerance);
    for (const [i, step] of steps.entries()) {
      perform(camera, step.call);
      const where = `step ${i}, ${step.call}`;
      expect(difference(camera.c2w, step.c2w), where).toBeLessThanOrEqual(tolerance);
      expect(camera.moving, where).toBe(step.moving);
    }
  });
});
