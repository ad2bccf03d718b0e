"""Reading scenes: one `Scene` type, one loader a format. Writing those that nelf renders."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.scene.bounds import border_color
    from nelf.scene.check import SceneReport, check_pictures, load_checked, report
    from nelf.scene.config import SceneConfig
    from nelf.scene.contact_sheet import write_sheet
    from nelf.scene.images import depth_scale, to_steps
    from nelf.scene.load import FORMATS, load_scene
    from nelf.scene.parsed import Problem
    from nelf.scene.scene import Scene, SceneBounds, SceneType, Views
    from nelf.scene.visual_hull import carve
    from nelf.scene.write import depth_name, image_name, write_image, write_scene
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "FORMATS",
    "Problem",
    "Scene",
    "SceneBounds",
    "SceneConfig",
    "SceneReport",
    "SceneType",
    "Views",
    "border_color",
    "carve",
    "check_pictures",
    "depth_name",
    "depth_scale",
    "image_name",
    "load_checked",
    "load_scene",
    "report",
    "to_steps",
    "write_image",
    "write_scene",
    "write_sheet",
]
