/**
 * Reads the PNG files of golden views: 8 bit, RGB or RGBA, not interlaced.
 *
 * Browsers decode PNG too, but hand the values out multiplied by alpha, colour-managed or with noise against tracking.
 */

export interface Image {
  width: number;
  height: number;
  channels: number;
  /** Rows from above, channels interleaved. */
  values: Uint8Array;
}

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS: Record<number, number> = { 2: 3, 6: 4 };

/** The image in a PNG file. Throws an Error for another kind, or a damaged one. */
export async function decodePng(file: Uint8Array<ArrayBuffer>): Promise<Image> {
  if (!SIGNATURE.every((byte, i) => file[i] === byte)) throw new Error("it is no PNG file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const data: Uint8Array<ArrayBuffer>[] = [];
  let image: Image | undefined;
  for (let at = 8; at + 12 <= file.length; ) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const body = file.subarray(at + 8, at + 8 + size);
    if (type === "IHDR") image = header(body);
    if (type === "IDAT") data.push(body);
    at += 12 + size;
  }
  if (!image) throw new Error("it has no header");
  const stream = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate"));
  unfilter(new Uint8Array(await new Response(stream).arrayBuffer()), image);
  return image;
}

function header(body: Uint8Array<ArrayBuffer>): Image {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const [depth, colour, , , interlaced] = body.subarray(8, 13);
  const channels = CHANNELS[colour!];
  if (depth !== 8 || !channels || interlaced)
    throw new Error("it is not 8-bit RGB or RGBA without interlacing");
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  return { width, height, channels, values: new Uint8Array(width * height * channels) };
}

/** PNG specification, 9.2: each row says which neighbours its values were predicted from. */
function unfilter(raw: Uint8Array, { width, height, channels, values }: Image): void {
  const row = width * channels;
  if (raw.length !== height * (row + 1)) throw new Error("its data is cut short");
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)]!;
    const predict = PREDICTORS[filter];
    if (!predict) throw new Error(`it has filter ${filter}`);
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      const left = x >= channels ? values[at - channels]! : 0;
      const above = y > 0 ? values[at - row]! : 0;
      const corner = x >= channels && y > 0 ? values[at - row - channels]! : 0;
      values[at] = raw[y * (row + 1) + 1 + x]! + predict(left, above, corner);
    }
  }
}

const PREDICTORS: readonly ((left: number, above: number, corner: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, above) => above,
  (left, above) => (left + above) >> 1,
  paeth,
];

function paeth(left: number, above: number, corner: number): number {
  const estimate = left + above - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - above), Math.abs(estimate - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}
