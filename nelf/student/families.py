"""The table of student families. A new family adds one line here, and lives in a folder of its own.

Without torch: settings are checked before it is loaded. docs/tutorials/first_change.md shows how a family is made.
"""

import importlib
from typing import TYPE_CHECKING, NamedTuple

from nelf.core.errors import ConfigError
from nelf.student.config import HierarchicalConfig, MobileR2LConfig, StudentConfig
from nelf.student.constant_color import ConstantColorConfig

if TYPE_CHECKING:
    from nelf.student.protocol import Student


class Family(NamedTuple):
    """One kind of network. network: "module:class", imported only when a student is made."""

    config: type[StudentConfig]
    network: str

    def make(self) -> "type[Student]":
        """The class of the network, which takes a `config` and a SceneGeometry."""
        module, _, name = self.network.partition(":")
        found: type[Student] = getattr(importlib.import_module(module), name)
        return found


STUDENTS: dict[str, Family] = {
    "hierarchical": Family(HierarchicalConfig, "nelf.student.hierarchical:Hierarchical"),
    "mobiler2l": Family(MobileR2LConfig, "nelf.student.mobiler2l:MobileR2L"),
    "constant": Family(ConstantColorConfig, "nelf.student.constant_color.model:ConstantColor"),
}
"""student.family -> its configuration and network."""

STUDENT_CONFIGS: dict[str, type[StudentConfig]] = {name: family.config for name, family in STUDENTS.items()}
"""student.family -> its configuration."""


def family_of(config: StudentConfig) -> Family:
    """The family that `config` names. Raises ConfigError where it is the configuration of another one."""
    if type(config) is not STUDENT_CONFIGS.get(config.family):
        raise ConfigError(f"student.family={config.family} cannot be set by itself; choose a preset, as student=m does")
    return STUDENTS[config.family]
