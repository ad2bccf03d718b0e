"""The student: a neural light field, from camera pose to image in one forward pass."""

from nelf.student.config import HierarchicalConfig, MobileR2LConfig, StudentConfig
from nelf.student.deploy import Layout
from nelf.student.families import STUDENTS, make_student
from nelf.student.files import check_same_architecture, load_student, save_student
from nelf.student.frame import Frame, Mapping
from nelf.student.macs import count_macs, layer_macs
from nelf.student.protocol import DepthPixels, Prediction, Student, count_parameters

__all__ = [
    "STUDENTS",
    "DepthPixels",
    "Frame",
    "HierarchicalConfig",
    "Layout",
    "Mapping",
    "MobileR2LConfig",
    "Prediction",
    "Student",
    "StudentConfig",
    "check_same_architecture",
    "count_macs",
    "count_parameters",
    "layer_macs",
    "load_student",
    "make_student",
    "save_student",
]
