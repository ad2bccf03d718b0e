"""Teachers: NeRFs that are trained on the photos and render the pseudo views."""

from nelf.teacher.config import HashGridConfig, TeacherConfig, VanillaConfig
from nelf.teacher.files import TEACHERS, load_teacher
from nelf.teacher.protocol import Rendered, Teacher, render_image
from nelf.teacher.teach import TRAINING_FILE, teach

__all__ = [
    "TEACHERS",
    "TRAINING_FILE",
    "HashGridConfig",
    "Rendered",
    "Teacher",
    "TeacherConfig",
    "VanillaConfig",
    "load_teacher",
    "render_image",
    "teach",
]
