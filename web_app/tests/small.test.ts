import { expect, test } from "vitest";
import { FrameTimes } from "../src/FrameTimes";
import type { Pose, Vector } from "../src/geometry";
import { add, columns, dot, upright } from "../src/geometry";
import { psnr, requiredPsnr } from "../src/golden";
import { nextQuality } from "../src/quality";
import { warp } from "../src/warp";

test("frame times: median and p95 of the last 120", () => {
  const times = new FrameTimes();
  expect(times.median).toBeNaN();
  for (let i = 1; i <= 20; i++) times.add(i);
  expect([times.median, times.p95, times.total]).toEqual([10, 19, 20]);
  for (let i = 0; i < 120; i++) times.add(7);
  expect([times.median, times.p95]).toEqual([7, 7]);
});

test.each([
  ["direct", 39, "direct"],
  ["direct", 41, "warped"],
  ["warped", 35, "warped"],
  ["warped", 29, "direct"],
  ["direct", Number.NaN, "direct"],
] as const)("quality: %s at a median of %d ms becomes %s", (now, median, next) => {
  expect(nextQuality(now, median)).toBe(next);
});

test.each([
  [60, 40],
  [45, 40],
  [undefined, 40],
  [38, 36.74],
  [25, 24.7],
])("golden views of an export held to %s dB must reach %d dB", (limit, required) => {
  const parity = { status: "passed", ...(limit !== undefined && { required_psnr: limit }) };
  expect(requiredPsnr({ parity })).toBeCloseTo(required, 2);
});

test("psnr", () => {
  expect(psnr(Float32Array.of(0, 1, 0.2), Uint8Array.of(0, 255, 51))).toBeGreaterThan(140);
  expect(psnr(Float32Array.of(0.1, 0.9), Uint8Array.of(0, 255))).toBeCloseTo(20, 4);
  expect(psnr(Float32Array.of(Number.NaN, 1), Uint8Array.of(0, 255))).toBeCloseTo(3.01, 2);
  expect(psnr(Float32Array.of(1), Uint8Array.of(255, 255))).toBe(0);
});

const INTRINSICS = [178, 180, 63, 65] as const;
const FOCUS: Vector = [0.1, -0.2, 0.3];

function lookingFrom(eye: Vector): Pose {
  const size = Math.hypot(...eye);
  return upright([eye[0] / size, eye[1] / size, eye[2] / size], [0, 0, 1], eye);
}

/** Pixel at which a camera sees a point. */
function pixel(pose: Pose, point: Vector): [number, number] {
  const [right, up, back, eye] = columns(pose);
  const offset = add(point, eye, -1);
  const depth = -dot(back, offset);
  const [fx, fy, cx, cy] = INTRINSICS;
  return [cx + (fx * dot(right, offset)) / depth, cy - (fy * dot(up, offset)) / depth];
}

function through(matrix: number[], [x, y]: [number, number]): [number, number] {
  const [u, v, w] = [0, 1, 2].map((i) => matrix[i]! * x + matrix[i + 3]! * y + matrix[i + 6]!);
  expect(w).toBeGreaterThan(0);
  return [u! / w!, v! / w!];
}

test("a warp to the same pose is none", () => {
  const pose = lookingFrom([3, 1, 2]);
  expect(through(warp(pose, pose, FOCUS, INTRINSICS), [20, 110])[0]).toBeCloseTo(20, 9);
  expect(through(warp(pose, pose, FOCUS, INTRINSICS), [20, 110])[1]).toBeCloseTo(110, 9);
});

test("a warp finds what lies on the plane through the focus", () => {
  const [from, to] = [lookingFrom([3, 1, 2]), lookingFrom([2.8, 1.5, 2.3])];
  const [right, up] = columns(from);
  for (const [a, b] of [
    [0, 0],
    [0.5, -0.3],
    [-0.7, 0.6],
  ] as const) {
    const point = add(add(FOCUS, right, a), up, b);
    const found = through(warp(from, to, FOCUS, INTRINSICS), pixel(to, point));
    expect(found[0]).toBeCloseTo(pixel(from, point)[0], 9);
    expect(found[1]).toBeCloseTo(pixel(from, point)[1], 9);
  }
});
