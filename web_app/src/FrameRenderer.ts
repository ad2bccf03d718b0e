/**
 * Presents pictures over what the page has behind the canvas. On a GPU with WebGL 2: sharpened by a bicubic filter, at the
 * screen's resolution, and turned where the viewer asks for it. Where a CPU would play the GPU: bilinear, on a 2D canvas.
 *
 * Colour is premultiplied in pictures and on the page, so a transparent canvas is the composition.
 */

import { SOFTWARE } from "./backends";
import type { Picture } from "./messages";

export interface FrameRenderer {
  /** Whether `warp` has an effect. */
  readonly warps: boolean;
  /** The canvas covers this many pixels of the screen. */
  resize(width: number, height: number): void;
  /** Show a picture; with `warp`, a homography from pixels to show to the picture's (column by column). */
  present(picture: Picture, warp?: readonly number[]): void;
}

export interface Size {
  width: number;
  height: number;
}

/**
 * A renderer of pictures of `size` on `canvas`. `lost`: called when a picture must be presented again. `insist`: use
 * WebGL even where a CPU runs it.
 */
export function createRenderer(
  canvas: HTMLCanvasElement,
  size: Size,
  lost: () => void,
  insist: boolean,
): FrameRenderer {
  const gl =
    insist || hasGraphics()
      ? canvas.getContext("webgl2", { alpha: true, premultipliedAlpha: true, antialias: false })
      : null;
  return gl ? new WebGlRenderer(canvas, gl, size, lost) : new PlainRenderer(canvas, size);
}

/** Whether WebGL runs on a GPU. Asked on a canvas of its own, since one that had WebGL has no 2D context. */
function hasGraphics(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl ? String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) : "software";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return !SOFTWARE.test(name);
}

const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];

const VERTICES = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

/**
 * Catmull-Rom's cubic (Keys 1981, a = -1/2) over 4x4 texels, held to the range of the inner 2x2: edges stay steeper than
 * with the bilinear filter, and nothing rings.
 */
const FRAGMENTS = `#version 300 es
precision highp float;
uniform highp sampler2D picture;
uniform vec2 canvas;
uniform mat3 warp;
out vec4 color;

vec4 texel(ivec2 at, ivec2 size) {
  return texelFetch(picture, clamp(at, ivec2(0), size - 1), 0);
}

vec4 weights(float t) {
  return vec4(
    t * (-0.5 + t * (1.0 - 0.5 * t)),
    1.0 + t * t * (1.5 * t - 2.5),
    t * (0.5 + t * (2.0 - 1.5 * t)),
    t * t * (0.5 * t - 0.5));
}

void main() {
  ivec2 texels = textureSize(picture, 0);
  vec2 size = vec2(texels);
  vec2 shown = vec2(gl_FragCoord.x, canvas.y - gl_FragCoord.y) / canvas * size;
  vec3 source = warp * vec3(shown, 1.0);
  vec2 place = source.xy / source.z;
  if (source.z <= 0.0 || any(lessThan(place, vec2(0.0))) || any(greaterThan(place, size))) place = shown;
  ivec2 corner = ivec2(floor(place - 0.5));
  vec2 rest = place - 0.5 - vec2(corner);
  vec4 across = weights(rest.x);
  vec4 down = weights(rest.y);
  vec4 sum = vec4(0.0);
  vec4 low = vec4(1.0);
  vec4 high = vec4(0.0);
  for (int row = 0; row < 4; row++) {
    for (int column = 0; column < 4; column++) {
      vec4 value = texel(corner + ivec2(column, row) - 1, texels);
      sum += across[column] * down[row] * value;
      if ((row == 1 || row == 2) && (column == 1 || column == 2)) {
        low = min(low, value);
        high = max(high, value);
      }
    }
  }
  vec4 held = clamp(sum, low, high);
  color = vec4(min(held.rgb, held.a), held.a);
}`;

class WebGlRenderer implements FrameRenderer {
  readonly warps = true;
  private uniforms: { canvas: WebGLUniformLocation | null; warp: WebGLUniformLocation | null } | undefined;
  private shown: Picture | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
    private readonly size: Size,
    lost: () => void,
  ) {
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.uniforms = undefined;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      lost();
    });
    this.prepare();
  }

  resize(width: number, height: number): void {
    this.canvas.width = width;
    this.canvas.height = height;
  }

  present(picture: Picture, warp: readonly number[] = IDENTITY): void {
    const { gl, canvas, uniforms } = this;
    if (!uniforms) return; // the context is lost, and shows again when it is restored
    if (picture !== this.shown) {
      const { width, height } = this.size;
      gl.texSubImage2D(
        gl.TEXTURE_2D,
        0,
        0,
        0,
        width,
        height,
        gl.RGBA,
        gl.UNSIGNED_BYTE,
        new Uint8Array(picture.pixels.buffer),
      );
      this.shown = picture;
    }
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(uniforms.canvas, canvas.width, canvas.height);
    gl.uniformMatrix3fv(uniforms.warp, false, warp);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private prepare(): void {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [
      [gl.VERTEX_SHADER, VERTICES],
      [gl.FRAGMENT_SHADER, FRAGMENTS],
    ] as const) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the shader does not link: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, this.size.width, this.size.height);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    this.uniforms = {
      canvas: gl.getUniformLocation(program, "canvas"),
      warp: gl.getUniformLocation(program, "warp"),
    };
    this.shown = undefined;
  }
}

/** Drawn by the CPU itself, not by one that plays a GPU. */
const ON_CPU: CanvasRenderingContext2DSettings = { willReadFrequently: true };

/** Twice the picture's size by the 2D canvas, the rest by the browser's compositor: little work for a CPU. */
class PlainRenderer implements FrameRenderer {
  readonly warps = false;
  private readonly small: HTMLCanvasElement;
  private readonly image: ImageData;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly size: Size,
  ) {
    this.small = Object.assign(document.createElement("canvas"), { width: size.width, height: size.height });
    this.image = new ImageData(size.width, size.height);
  }

  resize(width: number, height: number): void {
    this.canvas.width = Math.min(width, 2 * this.size.width);
    this.canvas.height = Math.min(height, 2 * this.size.height);
  }

  present(picture: Picture): void {
    const { data } = this.image;
    for (let i = 0; i < data.length; i += 4) {
      const alpha = picture.pixels[i + 3]!;
      for (let j = i; j < i + 3; j++) data[j] = alpha && (picture.pixels[j]! * 255) / alpha; // wants it straight
      data[i + 3] = alpha;
    }
    this.small.getContext("2d", ON_CPU)!.putImageData(this.image, 0, 0);
    const context = this.canvas.getContext("2d", ON_CPU)!;
    context.imageSmoothingQuality = "low"; // bilinear
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.small, 0, 0, this.canvas.width, this.canvas.height);
  }
}
