#version 300 es

// Two triangles that show the whole image as large as the view lets it be, with its proportions.

uniform vec2 scale; // image's half size in clip space: 1 where it touches the view's border
out highp vec2 position; // in the image: (0, 0) is its top left corner, (1, 1) its bottom right

void main() {
    vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    position = corner;
    gl_Position = vec4((2.0 * corner.x - 1.0) * scale.x, (1.0 - 2.0 * corner.y) * scale.y, 0.0, 1.0);
}
