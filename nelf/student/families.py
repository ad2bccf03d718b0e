"""The table of student families, and how a student is made from its configuration."""

from nelf.errors import ConfigError
from nelf.student.config import STUDENT_CONFIGS, StudentConfig
from nelf.student.frame import Frame
from nelf.student.hierarchical import Hierarchical
from nelf.student.mobiler2l import MobileR2L
from nelf.student.protocol import Student

STUDENTS: dict[str, type[Student]] = {"hierarchical": Hierarchical, "mobiler2l": MobileR2L}
"""student.family -> its network, made of a configuration (`STUDENT_CONFIGS`) and a Frame."""


def make_student(config: StudentConfig, frame: Frame) -> Student:
    """An untrained student. Raises ConfigError where `config` is not of the family that it names."""
    if type(config) is not STUDENT_CONFIGS.get(config.family):
        raise ConfigError(
            f"student.family={config.family} is not to be set by itself; choose a preset, as student=m does"
        )
    return STUDENTS[config.family](config, frame)
