/** What the page and the worker that runs the model say to each other. */

import type { TilePicture, TileProgram } from "./tiles";

export const BACKENDS = ["webgpu", "threads", "wasm"] as const;

/** webgpu: on the GPU. threads: WebAssembly with several threads, which needs an isolated page. wasm: with one. */
export type Backend = (typeof BACKENDS)[number];

export interface Load {
  type: "load";
  backend: Backend;
  threads: number;
  /** URL of the folder with LiteRT's files. */
  runtime: string;
  model: Uint8Array<ArrayBuffer>;
  input: { name: string; shape: readonly number[] };
  output: { name: string; shape: readonly number[] };
  /** Of a bundle with a program, whose first part `model` is. */
  tiles: Tiles | undefined;
}

export interface Tiles {
  program: TileProgram;
  picture: TilePicture;
  decoder: Uint8Array<ArrayBuffer>;
}

export interface Run {
  type: "run";
  /** c2w, 3 rows of 4. */
  pose: Float32Array<ArrayBuffer>;
  /** Memory of an earlier picture to write the new one into; without, the values are wanted as they are. */
  pixels?: Uint8ClampedArray<ArrayBuffer>;
}

export interface Ready {
  type: "ready";
  /** URLs of the runtime's files. */
  files: string[];
}

/** So many bytes of the runtime have arrived, of so many. */
export interface Progress {
  type: "progress";
  bytes: number;
  total: number;
}

/** milliseconds: from the pose's arrival to the values. */
export interface Picture {
  type: "picture";
  /** RGBA, 8 bit, colour premultiplied. */
  pixels: Uint8ClampedArray<ArrayBuffer>;
  milliseconds: number;
}

export interface Values {
  type: "values";
  /** height, width, channels. */
  values: Float32Array<ArrayBuffer>;
}

export interface Failed {
  type: "failed";
  reason: string;
}

export type Request = Load | Run;
export type Answer = Ready | Progress | Picture | Values | Failed;
