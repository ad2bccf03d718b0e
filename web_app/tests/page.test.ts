import { describe, expect, test } from "vitest";
import { type Durations, Measurement } from "../src/course";
import type { Manifest } from "../src/Manifest";
import { OrbitCamera } from "../src/OrbitCamera";
import { poseHash, readHash } from "../src/pose_link";
import { nextQuality } from "../src/quality";
import { vectors } from "./vectors";

function manifestOf(name: string): Manifest {
  return vectors<Manifest>(`manifests/${name}.json`);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

describe.each(["around", "arc", "window", "room", "ring"])("a view of %s", (name) => {
  const manifest = manifestOf(name);

  test("comes back by its link", () => {
    const camera = new OrbitCamera(manifest);
    camera.drag(0.1, 0.05, 0);
    camera.pan(0.01, -0.02, 0);
    camera.pinch(1.02, 0);
    const link = readHash(manifest, poseHash(manifest, camera.state))!;
    expect(link.current).toBe(true);
    const other = new OrbitCamera(manifest);
    expect(other.restore(link.state)).toBe(true);
    const size = Math.max(1, ...camera.c2w.map(Math.abs));
    expect(distance(other.c2w, camera.c2w) / size).toBeLessThan(1e-3); // a link has five digits
    expect(other.moving).toBe(false);
  });

  test("stays in its region whatever a link says", () => {
    const camera = new OrbitCamera(manifest);
    expect(camera.restore(camera.state.map(() => 1e6))).toBe(true);
    const here = camera.state;
    expect(camera.restore(here)).toBe(true);
    expect(distance(camera.state, here)).toBeLessThan(1e-6 * Math.max(1, ...here.map(Math.abs)));
    expect(camera.c2w.every(Number.isFinite)).toBe(true);
    for (const wrong of [[], [1], here.map(() => Number.NaN), [...here, 0]])
      expect(camera.restore(wrong)).toBe(false);
  });

  test("tells when it is pushed against the edge", () => {
    const camera = new OrbitCamera(manifest);
    camera.pinch(1 + 1e-9, 0);
    camera.takeEdge();
    camera.pinch(1e6, 0);
    expect(camera.takeEdge()).toBeGreaterThan(0.01);
    expect(camera.takeEdge(), "once").toBe(0);
  });
});

test("a link of another version says so, and other hashes are no links", () => {
  const manifest = manifestOf("around");
  expect(readHash(manifest, "#pose=00000000,1,2")).toEqual({ current: false, state: [1, 2] });
  for (const hash of ["", "#", "#pose=", "#pose=12345678", "#other"])
    expect(readHash(manifest, hash)).toBeUndefined();
});

test.each([
  ["warped", 80, 60, "halved"],
  ["warped", 80, 20, "warped"],
  ["warped", 80, Number.NaN, "warped"],
  ["direct", 80, 60, "warped"],
  ["halved", 80, 16, "halved"],
  ["halved", 20, 60, "direct"],
] as const)("quality: %s, %d ms a picture, %d ms a frame: %s", (now, median, interval, next) => {
  expect(nextQuality(now, median, interval)).toBe(next);
});

interface BenchmarkCase extends Durations {
  name: string;
  frames: [number, number][];
  report: { finished: boolean; stopped: string | null; results: Record<string, unknown>[] };
}

const benchmarks = vectors<{ begin: number; cases: BenchmarkCase[] }>("benchmark.json");

test.each(benchmarks.cases)("a benchmark: $name", ({ frames, report, ...durations }) => {
  const measurement = new Measurement(durations, benchmarks.begin);
  const wentOn = frames.map(([milliseconds, now]) => measurement.add(milliseconds, now));
  expect(wentOn.indexOf(false)).toBe(report.finished ? frames.length - 1 : -1);
  const [expected] = report.results;
  expect(measurement.frames > 0).toBe(expected !== undefined);
  if (!expected) return;
  const { latency, rate, ...found } = measurement.figures();
  expect(expected).toMatchObject(found);
  const numbers = expected.latency as Record<string, number>;
  for (const [name, value] of Object.entries(latency)) expect(value, name).toBeCloseTo(numbers[name]!, 9);
  expect(rate).toBeCloseTo(expected.rate as number, 9);
});
