import { describe, expect, test } from "vitest";
import { BLOCK, cover, type Inputs, plane, type TileProgram, TileRenderer, windows } from "../src/tiles";
import { vectors } from "./vectors";

interface Cases {
  covers: { blocks: string[]; tile: number[]; tiles: number[][] }[];
  windows: { length: number; size: number; reach: number; windows: number[][] }[];
  planes: { intrinsics: number[]; cases: { left: number; top: number; plane: number[] }[] };
}

const { covers, windows: windowCases, planes } = vectors<Cases>("tiles.json");

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

/** A program whose parts are arithmetic: a pixel shows where it is, and a block's first feature where that is. */
describe("a program", () => {
  const picture = { width: 44, height: 30, channels: 3, intrinsics: [50, 51.5, 24.25, 16.5] };
  const program: TileProgram = {
    type: "tiles",
    first: "first",
    decoder: "decoder",
    window: [4, 4],
    window_reach: 1,
    tile: [2, 3],
    tile_reach: 1,
    batch: 2,
    channels: 2,
    empty_below: 0.5,
    easy_below: -4,
    required_psnr: 50,
  };

  /** Blocks whose number, row by row, is below 8 are empty; of the others, every fifth is easy and grey. */
  const first = async ({ plane }: Inputs) => {
    const [corner] = plane!;
    const [left, top] = pixelOf(corner);
    const state = new Float32Array(32);
    const estimates = new Float32Array(16 * 5);
    for (let i = 0; i < 16; i++) {
      const row = Math.round((top + 1) / BLOCK) + Math.floor(i / 4);
      const column = Math.round((left + 2) / BLOCK) + (i % 4);
      const number = row * 6 + column;
      state.set([number, 1], 2 * i);
      estimates.set([Number(number >= 8), number % 5 ? 0 : -5, 0.5, 0.5, 2], 5 * i);
    }
    return { state, estimates };
  };

  const pixelOf = (corner: Float32Array) => {
    const [fx, fy, cx, cy] = picture.intrinsics as [number, number, number, number];
    return [Math.round(corner[0]! * fx + cx), Math.round(-corner[1]! * fy + cy)] as const;
  };

  let calls = 0;
  const decoder = async (inputs: Inputs) => {
    const [state, shape] = inputs.state!;
    const [corners] = inputs.plane!;
    calls++;
    expect(shape).toEqual([2, 4, 5, 2]);
    const image = new Float32Array(2 * 16 * 24 * 3);
    for (let tile = 0; tile < 2; tile++) {
      const [left, top] = pixelOf(corners.subarray(4 * tile, 4 * tile + 4));
      for (let y = 0; y < 16; y++) {
        for (let x = 0; x < 24; x++) {
          const block = (tile * 4 + 1 + (y >> 3)) * 5 + 1 + (x >> 3);
          image.set([left + x, top + y, state[2 * block]!], ((tile * 16 + y) * 24 + x) * 3);
        }
      }
    }
    return { image };
  };

  test("draws each block where it belongs", async () => {
    const image = await new TileRenderer(program, picture, first, decoder).render(new Float32Array(12));
    let [decoded, easy, empty] = [0, 0, 0];
    for (let y = 0; y < 30; y++) {
      for (let x = 0; x < 44; x++) {
        const number = 6 * Math.floor((y + 1) / BLOCK) + Math.floor((x + 2) / BLOCK);
        const found = [...image.subarray((y * 44 + x) * 3, (y * 44 + x) * 3 + 3)];
        if (found[2] === number && found[0] === x && found[1] === y) decoded++;
        else if (String(found) === "0.5,0.5,1") easy++;
        else if (String(found) === "0,0,0") empty++;
        else throw new Error(`pixel ${x}, ${y} shows ${found}`);
        if (number >= 8 && number % 5) expect(found).toEqual([x, y, number]);
      }
    }
    expect(decoded + easy + empty).toBe(30 * 44);
    expect(empty).toBeGreaterThan(0);
    expect(calls).toBe(2);
  });
});
