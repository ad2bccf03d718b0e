import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { psnr } from "../src/golden";
import { decodePng } from "../src/png";

const WIDTH = 5;
const HEIGHT = 5;

function chunk(type: string, body: Uint8Array): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(body.length);
  return Buffer.concat([size, Buffer.from(type), body, Buffer.alloc(4)]);
}

/** A PNG whose row y was filtered with filter y: all five of them. */
function png(channels: 3 | 4, values: Uint8Array): Uint8Array<ArrayBuffer> {
  const row = WIDTH * channels;
  const raw = Buffer.alloc(HEIGHT * (row + 1));
  const at = (y: number, x: number) => (y < 0 || x < 0 ? 0 : values[y * row + x]!);
  for (let y = 0; y < HEIGHT; y++) {
    raw[y * (row + 1)] = y;
    for (let x = 0; x < row; x++) {
      const [a, b, c] = [at(y, x - channels), at(y - 1, x), x < channels ? 0 : at(y - 1, x - channels)];
      const nearest = [a, b, c].sort((p, q) => Math.abs(a + b - c - p) - Math.abs(a + b - c - q))[0]!;
      raw[y * (row + 1) + 1 + x] = at(y, x) - [0, a, b, (a + b) >> 1, nearest][y]!;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, channels === 4 ? 6 : 2], 8);
  const data = deflateSync(raw);
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return new Uint8Array(
    Buffer.concat([
      signature,
      chunk("IHDR", header),
      chunk("IDAT", data.subarray(0, 9)),
      chunk("IDAT", data.subarray(9)),
      chunk("IEND", new Uint8Array()),
    ]),
  );
}

test.each([3, 4] as const)("%i channels, every filter", async (channels) => {
  const values = Uint8Array.from(
    { length: WIDTH * HEIGHT * channels },
    (_, i) => (i * 97 + i * i * 31) % 256,
  );
  const image = await decodePng(png(channels, values));
  expect([image.width, image.height, image.channels]).toEqual([WIDTH, HEIGHT, channels]);
  expect([...image.values]).toEqual([...values]);
});

test("what is no PNG is refused", async () => {
  await expect(decodePng(new Uint8Array(30))).rejects.toThrow("no PNG");
});

test("psnr", () => {
  expect(psnr(Float32Array.of(0, 1, 0.2), Uint8Array.of(0, 255, 51))).toBeGreaterThan(140);
  expect(psnr(Float32Array.of(0.1, 0.9), Uint8Array.of(0, 255))).toBeCloseTo(20, 4);
  expect(psnr(Float32Array.of(Number.NaN, 1), Uint8Array.of(0, 255))).toBeCloseTo(3.01, 2);
  expect(psnr(Float32Array.of(1), Uint8Array.of(255, 255))).toBe(0);
});
