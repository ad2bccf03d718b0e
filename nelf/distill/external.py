"""Renders of any other teacher as the pseudo scene."""

import dataclasses

from nelf.data import Scene, SceneConfig, load_scene
from nelf.distill.config import DistillConfig
from nelf.errors import SceneError


def external_scene(config: DistillConfig, scene: Scene) -> Scene:
    """The posed renders in `config.external`, to be trained on as they are, with the bounds of `scene`.

    Where they come with splits, only their training views are used: their test views may be those of `scene`.
    Raises SceneError when the student could not learn both from them and from `scene`.
    """
    assert config.external is not None  # DistillConfig sees to it
    found = load_scene(
        SceneConfig(
            path=config.external,
            kind=scene.kind.value,
            near=scene.near,
            far=scene.far,
            up=scene.up.tolist(),
            holdout=0,
            val_holdout=0,
        )
    )
    if found.size != scene.size:
        (height, width), (own_height, own_width) = found.size, scene.size
        raise SceneError(
            f"distill.external={config.external}: renders are {width}x{height}, scene '{scene.name}' is "
            f"{own_width}x{own_height}; render at that size, or bring the scene to theirs with scene.downscale"
        )
    if found.channels != scene.channels:
        have, want = ("RGBA" if s.channels == 4 else "RGB" for s in (found, scene))
        raise SceneError(
            f"distill.external={config.external}: renders are {have}, scene '{scene.name}' is {want}; "
            f"render {'with' if want == 'RGBA' else 'without'} alpha"
        )
    train = found.train
    return dataclasses.replace(found, splits={"train": train}, center=scene.center, radius=scene.radius)
