"""The neural light field network: encoder, body, upsampler."""

from nelf.student.config import StudentConfig
from nelf.student.files import check_same_architecture, load_student, save_student
from nelf.student.frame import Frame, Mapping
from nelf.student.macs import count_macs, layer_macs
from nelf.student.nelf import Encoded, NeLF, count_parameters

__all__ = [
    "Encoded",
    "Frame",
    "Mapping",
    "NeLF",
    "StudentConfig",
    "check_same_architecture",
    "count_macs",
    "count_parameters",
    "layer_macs",
    "load_student",
    "save_student",
]
