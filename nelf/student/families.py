"""The table of student families, and how a student is made from its configuration."""

from nelf.errors import ConfigError
from nelf.student.config import HierarchicalConfig, MobileR2LConfig, StudentConfig
from nelf.student.frame import Frame
from nelf.student.hierarchical import Hierarchical
from nelf.student.mobiler2l import MobileR2L
from nelf.student.protocol import Student

STUDENTS: dict[str, tuple[type[StudentConfig], type[Student]]] = {
    "hierarchical": (HierarchicalConfig, Hierarchical),
    "mobiler2l": (MobileR2LConfig, MobileR2L),
}
"""student.family -> its configuration, and its network made of one and a Frame."""


def make_student(config: StudentConfig, frame: Frame) -> Student:
    """An untrained student. Raises ConfigError where `config` is not of the family that it names."""
    known = STUDENTS.get(config.family)
    if known is None or type(config) is not known[0]:
        raise ConfigError(
            f"student.family={config.family} is not to be set by itself; choose a preset, as student=m does"
        )
    return known[1](config, frame)
