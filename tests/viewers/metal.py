"""Metal shaders as functions on the CPU: compiled as C++ over glm and a stand-in for metal_stdlib."""

import struct
from pathlib import Path

import numpy as np

from tools.ios.setup import REPOSITORY, Tools
from tools.setting_up import ROOT

METAL_STDLIB = """
#pragma once
#include <glm/glm.hpp>
#include <cstdio>
#include <vector>
#define constant const
#define device
#define vertex
#define fragment
namespace metal {
using namespace glm;
using float2 = vec2; using float3 = vec3; using float4 = vec4; using float3x3 = mat3; using uint = unsigned;
enum class filter { linear };
struct sampler { constexpr sampler(filter) {} };
// Linear, clamped to the edge, pixel centres at +0.5: what a Metal sampler does at these settings.
template <typename T> struct texture2d {
    const float* data; int width, height, channels;
    float4 at(int x, int y) const {
        const float* values = data + (clamp(y, 0, height - 1) * width + clamp(x, 0, width - 1)) * channels;
        float4 pixel(0.0f, 0.0f, 0.0f, 1.0f);
        for (int i = 0; i < channels; i++) pixel[i] = values[i];
        return pixel;
    }
    float4 sample(sampler, float2 place) const {
        float2 p = place * float2(width, height) - 0.5f, low = floor(p), share = p - low;
        int x = int(low.x), y = int(low.y);
        return mix(mix(at(x, y), at(x + 1, y), share.x), mix(at(x, y + 1), at(x + 1, y + 1), share.x), share.y);
    }
};
}
"""

MAIN = """
#include "Shaders.metal"
// Reads: what to run, sizes, then floats; writes floats.
static std::vector<float> floats(size_t count) {
    std::vector<float> values(count);
    if (fread(values.data(), 4, count, stdin) != count) exit(1);
    return values;
}
static void put(const float* values, size_t count) { fwrite(values, 4, count, stdout); }
int main() {
    int head[6];
    if (fread(head, 4, 6, stdin) != 6) return 1;
    auto [what, width, height, channels, places, unused] = head;
    if (what == 0) {  // corners
        auto c = floats(16);
        Uniforms uniforms{uint(width), uint(height), uint(channels), 0, {}};
        for (int i = 0; i < 16; i++) uniforms.corners[i / 4][i % 4] = c[i];
        for (uint i = 0; i < 4; i++) {
            Corner corner = imageVertex(i, uniforms);
            put(&corner.position.x, 4), put(&corner.place.x, 2);
        }
    } else if (what == 1) {  // image
        auto image = floats(size_t(width) * height * channels), at = floats(2 * places);
        Uniforms uniforms{uint(width), uint(height), uint(channels), 0, {}};
        for (int i = 0; i < places; i++) {
            float4 colour = imageFragment(Corner{float4(0), float2(at[2 * i], at[2 * i + 1])}, uniforms, image.data());
            put(&colour.x, 4);
        }
    } else if (what == 4) {  // picture of the system's
        auto image = floats(size_t(width) * height * channels), at = floats(2 * places);
        texture2d<float> picture{image.data(), width, height, channels};
        for (int i = 0; i < places; i++) {
            float4 colour = pictureFragment(Corner{float4(0), float2(at[2 * i], at[2 * i + 1])}, picture);
            put(&colour.x, 4);
        }
    } else if (what == 2) {  // camera
        auto luma = floats(4 * width * height), chroma = floats(2 * width * height), at = floats(2 * places);
        for (int i = 0; i < places; i++) {
            Corner in{float4(0), float2(at[2 * i], at[2 * i + 1])};
            texture2d<float> bright{luma.data(), 2 * width, 2 * height, 1}, tint{chroma.data(), width, height, 2};
            float4 colour = cameraFragment(in, bright, tint);
            put(&colour.x, 4);
        }
    } else {  // camera's corners
        auto m = floats(9);
        float3x3 matrix(m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]);
        for (uint i = 0; i < 4; i++) {
            Corner corner = cameraVertex(i, matrix);
            put(&corner.position.x, 4), put(&corner.place.x, 2);
        }
    }
}
"""


class Shaders:
    """NelfViewer/Shaders.metal, compiled. `folder` is inside the repository, so that the tools see it."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self.tools, self.folder = tools, folder
        self.inside = f"{REPOSITORY}/{folder.relative_to(ROOT).as_posix()}"
        (folder / "metal_stdlib").write_text(METAL_STDLIB)
        (folder / "main.cpp").write_text("#include <cstdlib>\n" + MAIN)
        shaders = f"{REPOSITORY}/ios_app/NelfViewer"
        self._run(
            f"clang++ -std=c++17 -O1 -Wno-unknown-attributes -Wno-ignored-attributes -I . -I {shaders} main.cpp -o run"
        )

    def _run(self, script: str) -> None:
        result = self.tools.run(f"cd {self.inside} && {script}")
        assert result.returncode == 0, result.stdout + result.stderr

    def _call(self, what: int, size: tuple[int, int, int], places: int, *values: np.ndarray) -> np.ndarray:
        data = struct.pack("6i", what, *size, places, 0)
        (self.folder / "in").write_bytes(data + b"".join(value.astype(np.float32).tobytes() for value in values))
        self._run("./run < in > out")
        return np.frombuffer((self.folder / "out").read_bytes(), np.float32)

    def corners(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Clip-space positions [4, 4] and places in the image [4, 2] of the image's corners."""
        made = self._call(0, (1, 1, 3), 0, corners).reshape(4, 6)
        return made[:, :4], made[:, 4:]

    def image(self, image: np.ndarray, places: np.ndarray) -> np.ndarray:
        """RGBA [n, 4] at places [n, 2] of an image [height, width, channels]."""
        height, width, channels = image.shape
        return self._call(1, (width, height, channels), len(places), image, places).reshape(-1, 4)

    def picture(self, image: np.ndarray, places: np.ndarray) -> np.ndarray:
        """RGBA [n, 4] at places [n, 2] of a picture of the system's [height, width, 4]."""
        height, width, channels = image.shape
        return self._call(4, (width, height, channels), len(places), image, places).reshape(-1, 4)

    def camera(self, luma: np.ndarray, chroma: np.ndarray, places: np.ndarray) -> np.ndarray:
        """RGBA [n, 4] of a camera's picture: luma [2h, 2w], chroma [h, w, 2]."""
        height, width, _ = chroma.shape
        return self._call(2, (width, height, 2), len(places), luma, chroma, places).reshape(-1, 4)

    def camera_corners(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        made = self._call(3, (1, 1, 1), 0, matrix.T).reshape(4, 6)  # column by column
        return made[:, :4], made[:, 4:]
