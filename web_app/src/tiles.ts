/**
 * The program of a bundle that renders in tiles: run the first part, choose blocks by threshold, run the decoder on lists of
 * the others, paste. nelf/bundle/tiles.py says what its numbers mean.
 */

/** Pixels of a block in each direction. */
export const BLOCK = 8;
/** Channels of the first part's estimates of a block. */
const INSIDE = 0;
const DETAIL = 1;
const COLOUR = 2;
/** Above so many calls, a rectangle is cut in halves. */
const MANY_CALLS = 3;
/** Blocks of 3 x 3, row by row; the fifth is the block itself. */
const AROUND = 9;

type Pair = readonly number[];

export interface TileProgram {
  type: "tiles";
  first: string;
  decoder: string;
  window: Pair;
  window_reach: number;
  /** Ascending; each size of several has its signature. */
  blocks: Pair;
  reach: number;
  channels: number;
  empty_below: number;
  easy_below: number;
  required_psnr: number;
}

/** What the program renders: size in pixels, and the lens (fx, fy, cx, cy). */
export interface TilePicture {
  width: number;
  height: number;
  channels: number;
  intrinsics: Pair;
}

/** Values and shape of each input of a part, by name, and the number of its signature; the values of each output. */
export type Inputs = Record<string, readonly [Float32Array<ArrayBuffer>, number[]]>;
export type Part = (inputs: Inputs, signature: number) => Promise<Record<string, Float32Array>>;

/** Blocks that cover so many pixels. */
const blocksOf = (pixels: number): number => Math.ceil(pixels / BLOCK);

/** What contradicts itself in a program for a picture of this size. */
export function* tileContradictions(
  program: TileProgram,
  { width, height }: Pick<TilePicture, "width" | "height">,
): Generator<string> {
  for (const [i, blocks] of [blocksOf(height), blocksOf(width)].entries()) {
    const [window, reach] = [program.window[i]!, program.window_reach];
    const covers = 2 * reach + 2 <= window && window <= blocks && (blocks - window) % 2 === 0;
    if (window !== blocks && !covers)
      yield `program.window has ${window} blocks, which cannot cover ${blocks}`;
  }
  if (program.blocks[0]! < (2 * program.reach + 1) ** 2)
    yield `program.blocks begins at ${program.blocks[0]}, too few for a reach of ${program.reach}`;
  if (program.blocks.some((size, i) => i > 0 && size <= program.blocks[i - 1]!))
    yield `program.blocks is ${program.blocks}, which does not ascend`;
}

/** Where windows of `size` blocks start that cover `length`, and the blocks from `begin` to before `end` that each gives. */
export function windows(length: number, size: number, reach: number) {
  const found: { start: number; begin: number; end: number }[] = [];
  for (let begin = 0; begin < length; ) {
    const start = Math.min(2 * Math.floor(Math.max(begin - reach, 0) / 2), length - size);
    const end = start + size === length ? length : start + size - reach;
    found.push({ start, begin, end });
    begin = end;
  }
  return found;
}

/** A block that a call of the decoder takes; it is drawn, or lies around those that are. */
export interface Block {
  row: number;
  column: number;
  drawn: boolean;
}

/** Calls of at most `size` needed blocks that draw each needed block once; see `calls_for` in nelf/bundle/tiles.py. */
export function callsFor(needed: Uint8Array, columns: number, size: number, reach: number): Block[][] {
  const rows = needed.length / columns;
  const within = (top: number, bottom: number, left: number, right: number) => {
    const found: Block[] = [];
    for (let row = Math.max(top, 0); row < Math.min(bottom, rows); row++) {
      for (let column = Math.max(left, 0); column < Math.min(right, columns); column++) {
        if (needed[row * columns + column]) found.push({ row, column, drawn: false });
      }
    }
    return found;
  };
  const calls: Block[][] = [];
  const draw = (...box: [number, number, number, number]) => {
    const found = within(...box);
    if (!found.length) return;
    const [top, bottom] = [found[0]!.row, found.at(-1)!.row + 1];
    const left = found.reduce((least, { column }) => Math.min(least, column), columns);
    const right = found.reduce((most, { column }) => Math.max(most, column + 1), 0);
    const taken = within(top - reach, bottom + reach, left - reach, right + reach);
    if (taken.length <= size) {
      for (const one of taken)
        one.drawn = top <= one.row && one.row < bottom && left <= one.column && one.column < right;
      calls.push(taken);
      return;
    }
    const tall = bottom - top >= right - left;
    const [low, high] = tall ? [top, bottom] : [left, right];
    const places = taken.map(({ row, column }) => (tall ? row : column)).sort((a, b) => a - b);
    let cut = places[size]! - reach;
    if (cut <= low || taken.length > MANY_CALLS * size) cut = Math.floor((low + high) / 2);
    if (tall) {
      draw(top, cut, left, right);
      draw(cut, bottom, left, right);
    } else {
      draw(top, bottom, left, cut);
      draw(top, bottom, cut, right);
    }
  };
  draw(0, rows, 0, columns);
  return calls;
}

/**
 * For each block of a call, where in it the 3 x 3 blocks around are: `size` if one is not in it, `size + 1` outside the grid.
 * Written into `places`.
 */
export function neighbours(
  call: readonly Block[],
  rows: number,
  columns: number,
  size: number,
  places: Float32Array,
): void {
  const numbers = new Map(call.map(({ row, column }, number) => [row * columns + column, number]));
  for (const [number, { row, column }] of call.entries()) {
    for (let i = 0; i < AROUND; i++) {
      const [y, x] = [row + Math.floor(i / 3) - 1, column + (i % 3) - 1];
      const inside = 0 <= y && y < rows && 0 <= x && x < columns;
      places[number * AROUND + i] = inside ? (numbers.get(y * columns + x) ?? size) : size + 1;
    }
  }
}

/** u and v of the image plane at the corner of a pixel, and their steps to the next column and row. */
export function plane([fx, fy, cx, cy]: Pair, left: number, top: number): number[] {
  return [(left - cx!) / fx!, -(top - cy!) / fy!, 1 / fx!, -1 / fy!];
}

export class TileRenderer {
  private readonly rows: number;
  private readonly columns: number;
  private readonly top: number;
  private readonly left: number;
  /** The first part's features of all blocks. */
  private readonly state: Float32Array;
  private readonly taken: Float32Array<ArrayBuffer>;
  private readonly planes: Float32Array<ArrayBuffer>;
  private readonly places: Float32Array<ArrayBuffer>;

  constructor(
    private readonly program: TileProgram,
    private readonly picture: TilePicture,
    private readonly first: Part,
    private readonly decoder: Part,
  ) {
    this.rows = blocksOf(picture.height);
    this.columns = blocksOf(picture.width);
    this.top = Math.floor((this.rows * BLOCK - picture.height) / 2);
    this.left = Math.floor((this.columns * BLOCK - picture.width) / 2);
    const { blocks, channels } = program;
    this.state = new Float32Array(this.rows * this.columns * channels);
    const most = blocks.at(-1)!;
    this.taken = new Float32Array(most * channels);
    this.planes = new Float32Array(most * 4);
    this.places = new Float32Array(most * AROUND);
  }

  /** The image at a pose: height, width, channels. */
  async render(pose: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
    const { width, height, channels } = this.picture;
    const image = new Float32Array(width * height * channels);
    const needed = new Uint8Array(this.rows * this.columns);
    const [tall, wide] = this.program.window as [number, number];
    for (const down of windows(this.rows, tall, this.program.window_reach)) {
      for (const across of windows(this.columns, wide, this.program.window_reach)) {
        const corner = this.planeOf(down.start, across.start);
        const taken: Inputs = { pose: [pose, [1, 3, 4]], plane: [Float32Array.from(corner), [1, 4]] };
        const found = await this.first(taken, 0);
        for (let row = down.begin; row < down.end; row++) {
          for (let column = across.begin; column < across.end; column++) {
            const from = (row - down.start) * wide + column - across.start;
            const { channels: features } = this.program;
            const state = found.state!.subarray(from * features, (from + 1) * features);
            this.state.set(state, (row * this.columns + column) * features);
            needed[row * this.columns + column] = this.choose(found.estimates!, from, row, column, image);
          }
        }
      }
    }
    const { blocks, reach } = this.program;
    for (const call of callsFor(needed, this.columns, blocks.at(-1)!, reach))
      await this.decode(pose, call, image);
    return image;
  }

  private planeOf(row: number, column: number): number[] {
    return plane(this.picture.intrinsics, column * BLOCK - this.left, row * BLOCK - this.top);
  }

  /** 1 where a block needs the decoder; an easy one is painted. */
  private choose(
    estimates: Float32Array,
    from: number,
    row: number,
    column: number,
    image: Float32Array,
  ): number {
    const count = COLOUR + this.picture.channels;
    const [inside, detail] = [estimates[from * count + INSIDE]!, estimates[from * count + DETAIL]!];
    if (!(inside >= this.program.empty_below)) return 0;
    if (!(detail < this.program.easy_below)) return 1;
    const colour = estimates.subarray(from * count + COLOUR, (from + 1) * count);
    const block = new Float32Array(BLOCK * BLOCK * this.picture.channels);
    for (let i = 0; i < block.length; i++) block[i] = Math.min(Math.max(colour[i % colour.length]!, 0), 1);
    this.paste(block, row, column, image);
    return 0;
  }

  private async decode(
    pose: Float32Array<ArrayBuffer>,
    call: readonly Block[],
    image: Float32Array,
  ): Promise<void> {
    const { blocks, channels } = this.program;
    const signature = blocks.findIndex((size) => size >= call.length);
    const size = blocks[signature]!;
    for (const [number, { row, column }] of call.entries()) {
      const from = (row * this.columns + column) * channels;
      this.taken.set(this.state.subarray(from, from + channels), number * channels);
      this.planes.set(this.planeOf(row, column), 4 * number);
    }
    neighbours(call, this.rows, this.columns, size, this.places);
    // What is left over shows nothing, but a place beyond a shorter list would stop the runtime.
    this.places.fill(0, call.length * AROUND, size * AROUND);
    const taken: Inputs = {
      pose: [pose, [1, 3, 4]],
      state: [this.taken.subarray(0, size * channels), [size, channels]],
      plane: [this.planes.subarray(0, size * 4), [size, 4]],
      neighbours: [this.places.subarray(0, size * AROUND), [size, AROUND]],
    };
    const found = await this.decoder(taken, signature);
    const length = found.image!.length / size;
    for (const [number, { row, column, drawn }] of call.entries()) {
      if (drawn)
        this.paste(found.image!.subarray(number * length, (number + 1) * length), row, column, image);
    }
  }

  /** Pastes what of a block's pixels is in the picture. */
  private paste(block: Float32Array, row: number, column: number, image: Float32Array): void {
    const { width, height, channels } = this.picture;
    const [top, left] = [row * BLOCK - this.top, column * BLOCK - this.left];
    const [begin, end] = [Math.max(left, 0), Math.min(left + BLOCK, width)];
    for (let y = Math.max(top, 0); y < Math.min(top + BLOCK, height); y++) {
      const from = (y - top) * BLOCK - left;
      image.set(
        block.subarray((from + begin) * channels, (from + end) * channels),
        (y * width + begin) * channels,
      );
    }
  }
}
