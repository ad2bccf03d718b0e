"""The smallest student family, and the example to copy: one learnt colour for each cell of the image.

Settings stand here, without torch. The network is in `model`. Its tests are tests/student/test_second_family.py.
"""

from dataclasses import dataclass

from nelf.core.settings import Range, setting
from nelf.student.config import StudentConfig


@dataclass
class ConstantColorConfig(StudentConfig):
    """One learnt colour for each cell of the image, tinted by the viewing direction: an example, not a good student."""

    family: str = "constant"
    """Kind of network; the preset sets it."""
    name: str = "constant"
    """Name of the preset; recorded, but not used."""
    cell_size: int = setting(8, Range(1, 256), unit="pixels")
    """Side of the square of pixels that has one colour."""
