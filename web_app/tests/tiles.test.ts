import { describe, expect, test } from "vitest";
import {
  BLOCK,
  callsFor,
  type Inputs,
  neighbours,
  plane,
  type TileProgram,
  TileRenderer,
  windows,
} from "../src/tiles";
import { vectors } from "./vectors";

interface Cases {
  calls: {
    needed: string[];
    size: number;
    reach: number;
    calls: { blocks: number[][]; neighbours: number[][] }[];
  }[];
  windows: { length: number; size: number; reach: number; windows: number[][] }[];
  planes: { intrinsics: number[]; cases: { left: number; top: number; plane: number[] }[] };
  programs: {
    name: string;
    program: TileProgram;
    image: { width: number; height: number; channels: number };
    intrinsics: number[];
    pose: number[];
    calls: number;
    rows: number[][];
  }[];
}

const { calls: callCases, windows: windowCases, planes, programs } = vectors<Cases>("tiles.json");

test("calls draw the blocks that need it, as in Python", () => {
  for (const { needed, size, reach, calls } of callCases) {
    const columns = needed[0]!.length;
    const blocks = Uint8Array.from(needed.join(""), (one) => Number(one === "#"));
    const found = callsFor(blocks, columns, size, reach).map((call) => {
      const places = new Float32Array(9 * call.length);
      neighbours(call, needed.length, columns, size, places);
      return {
        blocks: call.map(({ row, column, drawn }) => [row, column, Number(drawn)]),
        neighbours: call.map((_, i) => [...places.subarray(9 * i, 9 * i + 9)]),
      };
    });
    expect(found).toEqual(calls);
  }
});

test("windows cover the picture, as in Python", () => {
  for (const { length, size, reach, windows: expected } of windowCases) {
    expect(windows(length, size, reach).map(({ start, begin, end }) => [start, begin, end])).toEqual(
      expected,
    );
  }
});

test("the plane of a pixel is Python's", () => {
  for (const { left, top, plane: expected } of planes.cases) {
    plane(planes.intrinsics, left, top).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 12);
    });
  }
});

describe.each(programs)("a program: $name", ({ program, image, intrinsics, pose, calls, rows }) => {
  const { channels, window } = program;

  /** The corner of a plane, which is of zeros in a call that is not full. */
  const pixelOf = ([u, v, across, down]: Float32Array) =>
    across ? [Math.round(u! / across + intrinsics[2]!), Math.round(v! / down! + intrinsics[3]!)] : [0, 0];

  /** The parts, as tests/vectors/tiles.py describes them. */
  const first = async (inputs: Inputs) => {
    const [left, top] = pixelOf(inputs.plane![0]) as [number, number];
    const [, , , inside, , , , detail] = inputs.pose![0] as unknown as number[];
    const state: number[] = [];
    const estimates: number[] = [];
    for (let place = 0; place < window[0]! * window[1]!; place++) {
      const x = left + BLOCK * (place % window[1]!);
      const y = top + BLOCK * Math.floor(place / window[1]!);
      state.push(x, y, place, ...Array<number>(channels - 3).fill(0));
      estimates.push(x + y + inside!, x - 2 * y + detail!);
      estimates.push(...[x / 64, y / 64, 2, 0.5].slice(0, image.channels));
    }
    return { state: Float32Array.from(state), estimates: Float32Array.from(estimates) };
  };

  let called = 0;
  const decoder = async (inputs: Inputs, signature: number) => {
    called++;
    const [state, shape] = inputs.state!;
    const [around] = inputs.neighbours!;
    const blocks = program.blocks[signature]!;
    expect(shape).toEqual([blocks, channels]);
    expect(state.length).toBe(blocks * channels);
    const known = Array.from({ length: blocks }, (_, i) => state[i * channels]!).concat(-1, -2);
    const values: number[] = [];
    for (let number = 0; number < blocks; number++) {
      const [left, top] = pixelOf(inputs.plane![0].subarray(4 * number)) as [number, number];
      const third = state[number * channels + 2]! + 100 * known[around[9 * number]!]!;
      for (let i = 0; i < BLOCK; i++) {
        for (let j = 0; j < BLOCK; j++) {
          values.push(...[left + j, top + i, third, inputs.pose![0][11]!].slice(0, image.channels));
        }
      }
    }
    return { image: Float32Array.from(values) };
  };

  test("renders what Python renders", async () => {
    const renderer = new TileRenderer(program, { ...image, intrinsics }, first, decoder);
    for (let time = 1; time < 3; time++) {
      const found = await renderer.render(Float32Array.from(pose));
      expect([...found]).toEqual(rows.flat());
      expect(called).toBe(time * calls);
    }
  });
});
