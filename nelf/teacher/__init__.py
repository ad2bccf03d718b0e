"""Teachers: NeRFs trained on the photos, which render the pseudo views."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.teacher.config import InstantNGPConfig, NeRFConfig, TeacherConfig
    from nelf.teacher.field import RenderOutput, Teacher, render_image
    from nelf.teacher.stage import TEACHERS, TRAINING_FILE, load_teacher
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "TEACHERS",
    "TRAINING_FILE",
    "InstantNGPConfig",
    "NeRFConfig",
    "RenderOutput",
    "Teacher",
    "TeacherConfig",
    "load_teacher",
    "render_image",
]
