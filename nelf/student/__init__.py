"""The student: a neural light field, from camera pose to image in one forward pass."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.student.config import HierarchicalConfig, Mapping, MobileR2LConfig, StudentConfig
    from nelf.student.deploy import Layout
    from nelf.student.families import STUDENT_CONFIGS, STUDENTS
    from nelf.student.files import check_same_architecture, load_student, make_student, save_student
    from nelf.student.geometry import SceneGeometry
    from nelf.student.macs import count_macs, layer_macs, network_macs
    from nelf.student.protocol import DepthPixels, Prediction, Student, count_parameters
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "STUDENTS",
    "STUDENT_CONFIGS",
    "DepthPixels",
    "HierarchicalConfig",
    "Layout",
    "Mapping",
    "MobileR2LConfig",
    "Prediction",
    "SceneGeometry",
    "Student",
    "StudentConfig",
    "check_same_architecture",
    "count_macs",
    "count_parameters",
    "layer_macs",
    "load_student",
    "make_student",
    "network_macs",
    "save_student",
]
