/**
 * The program of a bundle that renders in tiles: run the first part, choose blocks by threshold, run the decoder on tiles that
 * cover the rest, paste. nelf/bundle/tiles.py says what its numbers mean.
 */

/** Pixels of a block in each direction. */
export const BLOCK = 8;
/** Channels of the first part's estimates of a block. */
const INSIDE = 0;
const DETAIL = 1;
const COLOUR = 2;

type Pair = readonly number[];

export interface TileProgram {
  type: "tiles";
  first: string;
  decoder: string;
  window: Pair;
  window_reach: number;
  tile: Pair;
  tile_reach: number;
  batch: number;
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

/** Values and shape of each input of a part, by name; the values of each output. */
export type Inputs = Record<string, readonly [Float32Array<ArrayBuffer>, number[]]>;
export type Part = (inputs: Inputs) => Promise<Record<string, Float32Array>>;

/** Blocks that cover so many pixels. */
const blocksOf = (pixels: number): number => Math.ceil(pixels / BLOCK);

/** What contradicts itself in a program for a picture of this size. */
export function* tileContradictions(
  program: TileProgram,
  { width, height }: Pick<TilePicture, "width" | "height">,
): Generator<string> {
  for (const [i, blocks] of [blocksOf(height), blocksOf(width)].entries()) {
    const [tile, window, reach] = [program.tile[i]!, program.window[i]!, program.window_reach];
    if (tile > blocks) yield `program.tile has ${tile} of ${blocks} blocks`;
    const covers = 2 * reach + 2 <= window && window <= blocks && (blocks - window) % 2 === 0;
    if (window !== blocks && !covers)
      yield `program.window has ${window} blocks, which cannot cover ${blocks}`;
  }
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

/** Row and column of the first block of tiles that cover the needed blocks; takes what it covers out of `needed`. */
export function cover(needed: Uint8Array, columns: number, [tall, wide]: Pair): [number, number][] {
  const found: [number, number][] = [];
  const rows = needed.length / columns;
  for (let row = 0; row < rows; row++) {
    if (!needed.subarray(row * columns, (row + 1) * columns).includes(1)) continue;
    const top = Math.min(row, rows - tall!);
    const band = Array.from({ length: tall! }, (_, i) =>
      needed.subarray((top + i) * columns, (top + i + 1) * columns),
    );
    for (let column = 0; column < columns; column++) {
      if (!band.some((line) => line[column])) continue;
      const left = Math.min(column, columns - wide!);
      for (const line of band) line.fill(0, left, left + wide!);
      found.push([top, left]);
    }
  }
  return found;
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
  /** The first part's features of all blocks, with `tile_reach` blocks of zeros around. */
  private readonly state: Float32Array;
  private readonly tiles: Float32Array<ArrayBuffer>;
  private readonly planes: Float32Array<ArrayBuffer>;

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
    const { tile_reach: reach, batch, channels } = program;
    this.state = new Float32Array((this.rows + 2 * reach) * (this.columns + 2 * reach) * channels);
    const [tall, wide] = this.tileSize();
    this.tiles = new Float32Array(batch * tall * wide * channels);
    this.planes = new Float32Array(batch * 4);
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
        const found = await this.first({
          pose: [pose, [1, 3, 4]],
          plane: [Float32Array.from(corner), [1, 4]],
        });
        for (let row = down.begin; row < down.end; row++) {
          for (let column = across.begin; column < across.end; column++) {
            const from = (row - down.start) * wide + column - across.start;
            this.keep(found.state!, from, row, column);
            needed[row * this.columns + column] = this.choose(found.estimates!, from, row, column, image);
          }
        }
      }
    }
    const places = cover(needed, this.columns, this.program.tile);
    for (let i = 0; i < places.length; i += this.program.batch) {
      await this.decode(pose, places.slice(i, i + this.program.batch), image);
    }
    return image;
  }

  private tileSize(): [number, number] {
    const [tall, wide] = this.program.tile;
    return [tall! + 2 * this.program.tile_reach, wide! + 2 * this.program.tile_reach];
  }

  private planeOf(row: number, column: number): number[] {
    return plane(this.picture.intrinsics, column * BLOCK - this.left, row * BLOCK - this.top);
  }

  private keep(state: Float32Array, from: number, row: number, column: number): void {
    const { channels, tile_reach: reach } = this.program;
    const to = (row + reach) * (this.columns + 2 * reach) + column + reach;
    this.state.set(state.subarray(from * channels, (from + 1) * channels), to * channels);
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
    this.paste(block, BLOCK, row, column, image);
    return 0;
  }

  private async decode(
    pose: Float32Array<ArrayBuffer>,
    places: [number, number][],
    image: Float32Array,
  ): Promise<void> {
    const { batch, channels, tile_reach: reach, tile } = this.program;
    const [tall, wide] = this.tileSize();
    const line = this.columns + 2 * reach;
    for (const [number, [row, column]] of places.entries()) {
      for (let i = 0; i < tall; i++) {
        const from = ((row + i) * line + column) * channels;
        const to = (number * tall + i) * wide * channels;
        this.tiles.set(this.state.subarray(from, from + wide * channels), to);
      }
      this.planes.set(this.planeOf(row, column), 4 * number);
    }
    const found = await this.decoder({
      pose: [pose, [1, 3, 4]],
      state: [this.tiles, [batch, tall, wide, channels]],
      plane: [this.planes, [batch, 4]],
    });
    const size = found.image!.length / batch;
    for (const [number, [row, column]] of places.entries()) {
      this.paste(
        found.image!.subarray(number * size, (number + 1) * size),
        tile[1]! * BLOCK,
        row,
        column,
        image,
      );
    }
  }

  /** Pastes what of `part`, of so many pixels a line, whose first block is that of `row` and `column`, is in the picture. */
  private paste(part: Float32Array, wide: number, row: number, column: number, image: Float32Array): void {
    const { width, height, channels } = this.picture;
    const [top, left] = [row * BLOCK - this.top, column * BLOCK - this.left];
    const [begin, end] = [Math.max(left, 0), Math.min(left + wide, width)];
    const last = Math.min(top + part.length / (wide * channels), height);
    for (let y = Math.max(top, 0); y < last; y++) {
      const from = (y - top) * wide - left;
      image.set(
        part.subarray((from + begin) * channels, (from + end) * channels),
        (y * width + begin) * channels,
      );
    }
  }
}
