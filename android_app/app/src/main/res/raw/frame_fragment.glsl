#version 300 es

// The model's image over a colour. Colour is premultiplied by alpha; an RGB texture has alpha 1 everywhere.

precision highp float;

uniform sampler2D image;
uniform vec3 background;
in highp vec2 position;
out vec4 colour;

void main() {
    vec4 shown = clamp(texture(image, position), 0.0, 1.0); // networks overshoot
    colour = vec4(shown.rgb + (1.0 - shown.a) * background, 1.0);
}
