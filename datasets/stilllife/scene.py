"""What stands on the table: materials, objects and how they are placed. World units, z up."""

import mitsuba as mi
import numpy as np
import textures
from meshes import lathe, leaf, spline, tube
from textures import linear

TABLE_Z = -0.60  # height of the table top
VASE = np.array([-0.36, 0.30, TABLE_Z])  # centre of its foot
PEAR = np.array([0.30, -0.44, TABLE_Z + 0.151])  # centre of its base, on the book


def painted(texels):
    """Texture dictionary for linear RGB texels [H, W, 3]."""
    bitmap = mi.Bitmap(texels.astype(np.float32))
    return {"type": "bitmap", "bitmap": bitmap, "raw": True, "wrap_mode": "clamp"}


def flat(code):
    """Constant reflectance of an sRGB hex colour."""
    return {"type": "rgb", "value": linear(code).tolist()}


def glazed(reflectance):
    """Smooth coat over a diffuse base: ceramic, lacquer, berries."""
    coat = {"type": "plastic", "diffuse_reflectance": reflectance, "nonlinear": True}
    return {"type": "twosided", "bsdf": coat}


def satin(reflectance, roughness):
    """Rough coat over a diffuse base: varnished wood, skin of fruit, leaves."""
    coat = {"type": "roughplastic", "diffuse_reflectance": reflectance, "alpha": roughness, "nonlinear": True}
    return {"type": "twosided", "bsdf": coat}


def matte(reflectance):
    """Diffuse on both sides: paper, cloth, bark."""
    return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": reflectance}}


def mirror(code):
    """Polished metal whose reflectance is an sRGB hex colour."""
    metal = {"type": "conductor", "material": "none", "specular_reflectance": flat(code)}
    return {"type": "twosided", "bsdf": metal}


def table():
    """Round board, radius 1.14, with a rounded rim."""
    arc = np.linspace(-np.pi / 2, np.pi / 2, 24)
    rim = np.stack([1.09 + 0.05 * np.cos(arc), TABLE_Z - 0.05 + 0.05 * np.sin(arc)], 1)
    below = [[1e-4, TABLE_Z - 0.1], [1.06, TABLE_Z - 0.1]]
    above = [[1.06, TABLE_Z], [1e-4, TABLE_Z]]
    profile = np.concatenate([below, rim, above])
    varnished = satin(painted(textures.wood()), 0.18)
    return {"table": lathe("table", profile, [0, 0, 0], varnished, planar_uv=1.14)}


def floor():
    """Square of terrazzo under the board: what a capture has around its object, and finds its poses by."""
    flat_on = mi.ScalarTransform4f().translate([0, 0, TABLE_Z - 0.1]).scale([3, 3, 1])
    return {"floor": {"type": "rectangle", "to_world": flat_on, "bsdf": matte(painted(textures.terrazzo()))}}


def vase():
    """Painted vase with a lip; the inside is the same surface walked back down."""
    belly = [(0.17, 0.0), (0.19, 0.02), (0.27, 0.15), (0.33, 0.34), (0.27, 0.55)]
    neck = [(0.15, 0.70), (0.125, 0.79), (0.17, 0.88)]
    throat = [(0.17, 0.88), (0.158, 0.893), (0.145, 0.88), (0.10, 0.79), (0.11, 0.70), (0.2, 0.5)]
    outside = np.concatenate([[[1e-4, 0.0], [0.15, 0.0]], spline(belly + neck, 90)])
    return {
        "vase": lathe("vase", outside, VASE, glazed(painted(textures.vase()))),
        "vase_inside": lathe("vase_inside", spline(throat, 30), VASE, glazed(flat("d8cbb4"))),
    }


def twig():
    """Three stems out of the vase, with leaves and red berries."""
    bark, green, red = matte(flat("5b3a24")), satin(flat("5f8f3e"), 0.25), glazed(flat("c4241c"))
    stems = (
        [(0, 0, 0.5), (0.05, -0.03, 0.95), (0.22, -0.12, 1.32), (0.24, -0.22, 1.72)],
        [(0, 0, 0.5), (-0.05, 0.02, 0.95), (-0.25, 0.10, 1.25), (-0.34, 0.10, 1.55)],
        [(0, 0, 0.5), (0.02, 0.05, 0.95), (0.25, 0.25, 1.20), (0.52, 0.32, 1.30)],
    )
    shapes = {}
    for i, knots in enumerate(VASE + np.array(stems)):
        path = spline(knots, 40)
        shapes[f"stem_{i}"] = tube(f"stem_{i}", knots, (0.028, 0.018), bark)
        for j, at in enumerate((20, 27, 33)):
            heading = 2.4 * (3 * i + j) + 0.5
            direction = (np.cos(heading), np.sin(heading), 0.45)
            name = f"leaf_{i}_{j}"
            shapes[name] = leaf(name, path[at], direction, 0.34 - 0.03 * j, 0.16, green)
        for j, at in enumerate((30, 36, 39)):
            heading = 2.4 * (3 * i + j) + 2.2
            centre = path[at] + 0.055 * np.array([np.cos(heading), np.sin(heading), 0.2]) * (j < 2)
            shapes[f"berry_{i}_{j}"] = ball(centre, 0.05, red)
    return shapes


def ball(centre, radius, bsdf):
    """Sphere dictionary; centre [3] in world space."""
    return {"type": "sphere", "center": [float(c) for c in centre], "radius": radius, "bsdf": bsdf}


def chrome_ball():
    """Polished ball that mirrors the whole group."""
    return {"chrome": ball((0.50, 0.42, TABLE_Z + 0.31), 0.31, mirror("eef0f2"))}


def book():
    """Closed book, lying flat: two boards, a spine, the pages and an ornamented cover."""
    place = mi.ScalarTransform4f().translate([0.22, -0.50, TABLE_Z]).rotate([0, 0, 1], 24)
    cloth = satin(flat("a8322d"), 0.3)

    def box(centre, half, bsdf):
        inside = mi.ScalarTransform4f().translate(centre).scale(half)
        return {"type": "cube", "to_world": place @ inside, "bsdf": bsdf}

    on_top = mi.ScalarTransform4f().translate([0, 0, 0.1505]).rotate([0, 0, 1], 90).scale([0.29, 0.40, 1])
    ornament = satin(painted(textures.cover()), 0.3)
    return {
        "board_below": box([0, 0, 0.011], [0.40, 0.29, 0.011], cloth),
        "board_above": box([0, 0, 0.139], [0.40, 0.29, 0.011], cloth),
        "spine": box([0, 0.279, 0.075], [0.40, 0.011, 0.064], cloth),
        "pages": box([0, -0.005, 0.075], [0.38, 0.273, 0.053], matte(painted(textures.pages()))),
        "cover": {"type": "rectangle", "to_world": place @ on_top, "bsdf": ornament},
    }


def pear():
    """Pear with a stalk, standing on the book."""
    belly = [(1e-4, 0.012), (0.06, 0.0), (0.16, 0.05), (0.205, 0.16), (0.165, 0.29)]
    neck = [(0.105, 0.39), (0.065, 0.455), (1e-4, 0.475)]
    profile = np.maximum(spline(belly + neck, 80), [1e-4, 0])
    stalk = PEAR + np.array([(0, 0, 0.45), (0.01, 0, 0.52), (0.05, 0.02, 0.59)])
    return {
        "pear": lathe("pear", profile, PEAR, satin(painted(textures.pear()), 0.2)),
        "stalk": tube("stalk", stalk, (0.018, 0.022), matte(flat("5b3a24"))),
    }


def brush():
    """Paint brush: blue lacquered handle, brass ferrule, dark bristles; it leans on the book."""
    tail, head = np.array([-0.84, -0.42, TABLE_Z + 0.020]), np.array([0.04, -0.74, TABLE_Z + 0.230])

    def at(t):
        """Point a fraction t of the way from tail to head: [3]."""
        return tail + t * (head - tail)

    return {
        "handle": tube("handle", [at(0), at(0.35), at(0.7)], (0.018, 0.032), glazed(flat("1f6f78"))),
        "ferrule": tube("ferrule", [at(0.69), at(0.76), at(0.84)], (0.036, 0.036), mirror("e3c27a")),
        "bristles": tube("bristles", [at(0.83), at(0.92), at(1.0)], (0.036, 0.008), matte(flat("3a2a20"))),
    }


def build_scene(on_floor=False):
    """All objects and the light as one Mitsuba scene; with a floor under them if asked for."""
    light = {"type": "envmap", "bitmap": mi.Bitmap(textures.environment().astype(np.float32))}
    light["to_world"] = mi.ScalarTransform4f().rotate([1, 0, 0], 90)  # Mitsuba's maps are y up
    scene = {"type": "scene", "light": light}
    scene["integrator"] = {"type": "path", "max_depth": 5, "rr_depth": 6, "hide_emitters": True}
    for part in (table, vase, twig, chrome_ball, book, pear, brush, *([floor] if on_floor else [])):
        scene |= part()
    return mi.load_dict(scene)
