"""Colours, procedural textures and the environment light of the scene: plain numpy, linear RGB arrays."""

import numpy as np

SEED = 20230  # of the noise in wood and fruit


def linear(code):
    """sRGB colour written as hex, e.g. "c8a070", to linear RGB: [3]."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def mix(a, b, weight):
    """Blend colours a and b ([3] or [H, W, 3]) by weight [H, W]: 0 gives a, 1 gives b."""
    return a + (b - a) * np.clip(weight, 0, 1)[..., None]


def step(x, edge, soft):
    """Smooth step of x from 0 to 1, centred at edge and about `soft` wide."""
    t = np.clip((x - edge) / soft + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def grid(height, width):
    """Texture coordinates u, v at texel centres, v upwards: two arrays [H, W] in [0, 1]."""
    return np.meshgrid((np.arange(width) + 0.5) / width, 1 - (np.arange(height) + 0.5) / height)


def smooth_noise(height, width, across, along, seed):
    """Periodic Gaussian noise with feature sizes `across` (u) and `along` (v), unit variance: [H, W]."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((height, width)))
    fu, fv = np.meshgrid(np.fft.fftfreq(width, 1 / width), np.fft.fftfreq(height, 1 / height))
    noise = np.fft.ifft2(spectrum * np.exp(-2 * ((fu * across) ** 2 + (fv * along) ** 2))).real
    return noise / noise.std()


def wood():
    """Turned walnut: grain lines along u, bent by slow noise, and a dark inlaid ring. [H, W, 3]."""
    u, v = grid(512, 512)
    rings = 9 * v + 0.32 * smooth_noise(512, 512, 0.30, 0.14, SEED) + 1.6 * (u - 0.45) ** 2
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings)
    fibre = smooth_noise(512, 512, 0.12, 0.008, SEED + 1)
    wood = mix(linear("c58f58"), linear("945c31"), grain**1.5 * 0.8 + 0.06 * fibre)
    radius = 2 * np.hypot(u - 0.5, v - 0.5)
    return mix(wood, linear("4a2716"), 0.85 * step(-np.abs(radius - 0.88), -0.018, 0.01))


def terrazzo():
    """Floor of chips of stone, no two places alike. [H, W, 3]."""
    floor = np.broadcast_to(linear("b9b2a6"), (2048, 2048, 3))
    for i, (code, size) in enumerate((("4d4a48", 0.006), ("8a4b38", 0.005), ("ece7dc", 0.004), ("6f7f86", 0.003))):
        chips = smooth_noise(2048, 2048, size, size, SEED + 10 + i)
        floor = mix(floor, linear(code), step(chips, 1.1, 0.3))
    return floor


def vase():
    """Cream glaze, cobalt bands and a row of petals around the belly; v runs from foot to lip. [H, W, 3]."""
    u, v = grid(512, 1024)
    petal = np.abs(np.sin(9 * np.pi * u)) ** 0.6
    belly = step(v, 0.30, 0.01) * step(0.30 + 0.26 * petal - v, 0, 0.02)
    heart = step(v, 0.33, 0.01) * step(0.30 + 0.15 * petal - v, 0, 0.02)
    rows = ((0.25, 0.022), (0.70, 0.018), (0.97, 0.04))  # height and half width
    bands = sum(step(-np.abs(v - at), -half, 0.012) for at, half in rows)
    glaze = mix(linear("f2e9d8"), linear("2c4f9e"), belly + bands)
    return mix(glaze, linear("e9b44c"), heart)


def cover():
    """Book cover: red cloth, a cream frame and a lattice of diamonds. [H, W, 3]."""
    u, v = grid(512, 384)
    edge = np.minimum(np.minimum(u, 1 - u) * 0.75, np.minimum(v, 1 - v))
    frame = step(-np.abs(edge - 0.075), -0.018, 0.008)
    diamond = np.abs((u * 4 + 0.5) % 1 - 0.5) + np.abs((v * 5.333 + 0.167) % 1 - 0.5)
    lattice = step(-np.abs(diamond - 0.5), -0.09, 0.05) + step(-diamond, -0.16, 0.05)
    inside = step(edge, 0.13, 0.008)
    return mix(linear("a8322d"), linear("f0dcb4"), frame + inside * lattice)


def pages():
    """Edges of the pages: cream with a few darker gatherings. [H, W, 3]."""
    _, v = grid(64, 16)
    return mix(linear("efe3c8"), linear("b9a27c"), 0.5 + 0.5 * np.sin(2 * np.pi * 3 * v))


def pear():
    """Pear skin: yellow green, a red cheek on one side, russet at both ends. [H, W, 3]."""
    u, v = grid(256, 512)
    mottle = smooth_noise(256, 512, 0.03, 0.05, SEED + 2)
    skin = mix(linear("c9c04a"), linear("d98a34"), 0.35 + 0.18 * mottle)
    cheek = np.exp(-(((u - 0.4) / 0.16) ** 2) - ((v - 0.45) / 0.25) ** 2)
    skin = mix(skin, linear("b83a26"), 0.85 * cheek + 0.05 * mottle)
    return mix(skin, linear("7d5a26"), np.exp(-((v / 0.10) ** 2)) + np.exp(-(((1 - v) / 0.06) ** 2)))


def environment():
    """Studio light, equirectangular linear RGB [128, 256, 3]: a gradient and four soft light boxes."""
    u, v = grid(128, 256)
    azimuth, elevation = 360 * u, 180 * v - 90
    light = mix(linear("8d7966") * 0.45, linear("c9d3e0") * 0.60, step(elevation, -5, 50))
    light = mix(light, linear("f1f4fa") * 0.85, step(elevation, 60, 70))
    boxes = (  # azimuth, elevation, half width, half height in degrees; colour; strength
        (40, 46, 17, 14, "fff0da", 27.0),
        (165, 32, 14, 22, "dbe8ff", 4.5),
        (265, 40, 26, 10, "ffe6cf", 3.5),
        (325, 12, 7, 14, "ffd2a8", 3.0),
    )
    for at, up, half_width, half_height, colour, strength in boxes:
        across = np.abs((azimuth - at + 180) % 360 - 180)
        box = step(-across, -half_width, 8) * step(-np.abs(elevation - up), -half_height, 8)
        light = light + box[..., None] * linear(colour) * strength
    return light
