// Shows the model's output as it lies in memory: float32, height x width x channels, colour premultiplied by alpha.
// Plain enough to be compiled as C++ too: tests/viewers/test_ios.py runs it on the CPU.
#include <metal_stdlib>
using namespace metal;

// The same as Uniforms in FrameRenderer.swift.
struct Uniforms {
    uint width;
    uint height;
    uint channels;
    uint unused;
    float4 corners[4];  // bottom left, bottom right, top left, top right, in clip space
};

struct Corner {
    float4 position [[position]];
    float2 place;  // in the image: 0 to 1, y downwards
};

// The image's four corners, as a triangle strip. By their w the hardware interpolates in perspective.
vertex Corner imageVertex(uint index [[vertex_id]], constant Uniforms &uniforms [[buffer(0)]]) {
    Corner corner;
    corner.position = uniforms.corners[index];
    corner.place = float2(float(index & 1u), 1.0f - float(index >> 1u));
    return corner;
}

static float4 pixel(constant Uniforms &uniforms, device const float *image, int x, int y) {
    int column = clamp(x, 0, int(uniforms.width) - 1);
    int row = clamp(y, 0, int(uniforms.height) - 1);
    device const float *values = image + uniforms.channels * (uint(row) * uniforms.width + uint(column));
    float alpha = uniforms.channels == 4u ? values[3] : 1.0f;
    return clamp(float4(values[0], values[1], values[2], alpha), 0.0f, 1.0f);
}

// Bilinear, pixel centres at +0.5. The pipeline blends it over what is there: source + (1 - alpha) destination.
fragment float4 imageFragment(
    Corner in [[stage_in]], constant Uniforms &uniforms [[buffer(0)]], device const float *image [[buffer(1)]]) {
    float2 place = in.place * float2(float(uniforms.width), float(uniforms.height)) - float2(0.5f, 0.5f);
    float2 corner = floor(place);
    float2 share = place - corner;
    int x = int(corner.x);
    int y = int(corner.y);
    float4 above = mix(pixel(uniforms, image, x, y), pixel(uniforms, image, x + 1, y), share.x);
    float4 below = mix(pixel(uniforms, image, x, y + 1), pixel(uniforms, image, x + 1, y + 1), share.x);
    return mix(above, below, share.y);
}

// A picture of the system's instead, whose alpha says nothing.
fragment float4 pictureFragment(Corner in [[stage_in]], texture2d<float> picture [[texture(0)]]) {
    constexpr sampler linear(filter::linear);
    float4 shown = picture.sample(linear, in.place);
    return float4(shown.x, shown.y, shown.z, 1.0f);
}

// The phone's camera behind it. `matrix` takes a place in the view to one in the camera's image.
vertex Corner cameraVertex(uint index [[vertex_id]], constant float3x3 &matrix [[buffer(0)]]) {
    float x = float(index & 1u);
    float y = float(index >> 1u);
    float3 place = matrix * float3(x, 1.0f - y, 1.0f);
    Corner corner;
    corner.position = float4(2.0f * x - 1.0f, 2.0f * y - 1.0f, 0.0f, 1.0f);
    corner.place = float2(place.x, place.y);
    return corner;
}

// Full-range BT.601, as ARKit gives it.
fragment float4 cameraFragment(
    Corner in [[stage_in]], texture2d<float> luma [[texture(0)]], texture2d<float> chroma [[texture(1)]]) {
    constexpr sampler linear(filter::linear);
    float y = luma.sample(linear, in.place).x;
    float4 both = chroma.sample(linear, in.place);
    float blue = both.x - 0.5f;
    float red = both.y - 0.5f;
    return clamp(
        float4(y + 1.402f * red, y - 0.344136f * blue - 0.714136f * red, y + 1.772f * blue, 1.0f), 0.0f, 1.0f);
}
