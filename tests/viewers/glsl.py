"""GLSL ES shaders as functions on the CPU: compiled as C++ over glm, called through ctypes."""

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np

TYPES = r"vec[234]|float|int|mat[234]|sampler2D"

HEADER = """
#define GLM_FORCE_SWIZZLE
#include <glm/glm.hpp>
using namespace glm;

struct sampler2D { const float* data; int width, height, channels; };

// GL_LINEAR with GL_CLAMP_TO_EDGE: texel centres at half integers. A missing alpha is 1.
static vec4 texel(const sampler2D& s, int x, int y) {
    const float* at = s.data + (clamp(y, 0, s.height - 1) * s.width + clamp(x, 0, s.width - 1)) * s.channels;
    return vec4(at[0], at[1], at[2], s.channels == 4 ? at[3] : 1.0f);
}
static vec4 texture(const sampler2D& s, const vec2& p) {
    const vec2 at = p * vec2(s.width, s.height) - 0.5f, low = floor(at), part = at - low;
    const int x = int(low.x), y = int(low.y);
    const vec4 top = mix(texel(s, x, y), texel(s, x + 1, y), part.x);
    const vec4 bottom = mix(texel(s, x, y + 1), texel(s, x + 1, y + 1), part.x);
    return mix(top, bottom, part.y);
}
static int gl_VertexID;
static vec4 gl_Position;
"""

ENTRIES = """
extern "C" void run_vertex(const float* scale_, int count, float* positions, float* clip) {
    vertex::scale = vec2(scale_[0], scale_[1]);
    for (gl_VertexID = 0; gl_VertexID < count; gl_VertexID++) {
        vertex::shader();
        for (int i = 0; i < 2; i++) positions[2 * gl_VertexID + i] = vertex::position[i];
        for (int i = 0; i < 4; i++) clip[4 * gl_VertexID + i] = gl_Position[i];
    }
}
extern "C" void run_fragment(const float* pixels, int width, int height, int channels, const float* background_,
                             int count, const float* positions, float* colours) {
    fragment::image = {pixels, width, height, channels};
    fragment::background = vec3(background_[0], background_[1], background_[2]);
    for (int at = 0; at < count; at++) {
        fragment::position = vec2(positions[2 * at], positions[2 * at + 1]);
        fragment::shader();
        for (int i = 0; i < 4; i++) colours[4 * at + i] = fragment::colour[i];
    }
}
"""


def as_cpp(source: str, name: str) -> str:
    """A GLSL ES 3 shader as a C++ namespace: inputs, outputs and uniforms become variables, main becomes `shader`."""
    text = re.sub(r"^(#version|precision) .*$", "", source, flags=re.MULTILINE)
    text = re.sub(rf"^(?:uniform|in|out) (?:(?:high|medium|low)p )?({TYPES}) ", r"static \1 ", text, flags=re.MULTILINE)
    text = re.sub(r"(?<![\w.])(\d+\.\d*)(?![\w.])", r"\1f", text)
    text = re.sub(r"\.([xyzw]{2,4}|[rgba]{2,4})\b", r".\1()", text)  # swizzles are functions in glm
    return f"namespace {name} {{\n{text.replace('void main()', 'static void shader()')}\n}}\n"


class Shaders:
    """The two shaders of the frame renderer, compiled into a library in `folder`."""

    def __init__(self, vertex: Path, fragment: Path, include: Path, folder: Path) -> None:
        source = folder / "shaders.cpp"
        parts = [as_cpp(vertex.read_text(), "vertex"), as_cpp(fragment.read_text(), "fragment")]
        source.write_text(HEADER + "".join(parts) + ENTRIES)
        library = folder / "shaders.so"
        command = [
            "g++",
            "-std=c++17",
            "-O1",
            "-w",
            "-shared",
            "-fPIC",
            f"-I{include}",
            str(source),
            "-o",
            str(library),
        ]
        subprocess.run(command, check=True, timeout=300)
        self._library = ctypes.CDLL(str(library))

    def vertices(self, scale: tuple[float, float], count: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the image [count, 2] and clip coordinates [count, 4] of the triangle strip."""
        given = np.array(scale, np.float32)
        positions, clip = np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32)
        self._library.run_vertex(_pointer(given), count, _pointer(positions), _pointer(clip))
        return positions, clip

    def colours(self, image: np.ndarray, background: list[float], positions: np.ndarray) -> np.ndarray:
        """RGBA [count, 4] at `positions` [count, 2] of `image` [height, width, 3 or 4]."""
        pixels, over = np.ascontiguousarray(image, np.float32), np.array(background, np.float32)
        at = np.ascontiguousarray(positions, np.float32)
        colours = np.zeros((len(at), 4), np.float32)
        height, width, channels = pixels.shape
        self._library.run_fragment(
            _pointer(pixels), width, height, channels, _pointer(over), len(at), _pointer(at), _pointer(colours)
        )
        return colours


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
