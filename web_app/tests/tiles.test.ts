import { describe, expect, test } from "vitest";
import { BLOCK, cover, type Inputs, plane, type TileProgram, TileRenderer, windows } from "../src/tiles";
import { vectors } from "./vectors";

interface Cases {
  covers: { blocks: string[]; tile: number[]; tiles: number[][] }[];
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

const { covers, windows: windowCases, planes, programs } = vectors<Cases>("tiles.json");

test("tiles cover the blocks that need them, as in Python", () => {
  for (const { blocks, tile, tiles } of covers) {
    const needed = Uint8Array.from(blocks.join(""), (one) => Number(one === "#"));
    expect(cover(needed, blocks[0]!.length, tile)).toEqual(tiles);
    expect(needed.includes(1)).toBe(false);
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
  const { batch, channels, tile, tile_reach: reach, window } = program;
  const [rowsOf, columnsOf] = tile as [number, number];

  /** The corner of a plane, which is of zeros in a batch that is not full. */
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
  const decoder = async (inputs: Inputs) => {
    called++;
    const [state, shape] = inputs.state!;
    expect(shape).toEqual([batch, rowsOf + 2 * reach, columnsOf + 2 * reach, channels]);
    const feature = (number: number, row: number, column: number, channel: number) =>
      state[((number * shape[1]! + row) * shape[2]! + column) * channels + channel]!;
    const values: number[] = [];
    for (let number = 0; number < batch; number++) {
      const [left, top] = pixelOf(inputs.plane![0].subarray(4 * number)) as [number, number];
      for (let i = 0; i < BLOCK * rowsOf; i++) {
        for (let j = 0; j < BLOCK * columnsOf; j++) {
          const [row, column] = [i >> 3, j >> 3];
          const third =
            feature(number, row + reach, column + reach, 2) + 100 * feature(number, row, column, 0);
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
