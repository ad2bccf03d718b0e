"""Every setting of a configuration with what its class says about it: default, allowed values, unit and meaning."""

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nelf.core.settings import Setting, allowed_values, declared, shown, value_types


@dataclass(frozen=True)
class Entry:
    """One field of a configuration, or of a configuration inside it.

    key: as on the command line, such as train.finetune.steps. owner: the class that has the field. default: its value
    where nothing is said.
    """

    key: str
    owner: type
    field: "dataclasses.Field[Any]"
    default: Any

    @property
    def is_group(self) -> bool:
        """Whether it holds settings itself."""
        return dataclasses.is_dataclass(self.default)

    @property
    def is_number(self) -> bool:
        """Whether it holds a number, or numbers."""
        return not self.is_group and bool({int, float} & set(value_types(self.owner, self.field.name)))

    @property
    def setting(self) -> Setting | None:
        return declared(self.field)

    @property
    def allowed(self) -> str:
        """Such as "a number from 0 to 1"."""
        return allowed_values(self.owner, self.field)

    @property
    def default_text(self) -> str:
        """As on the command line; "" where there is no default."""
        return "" if self.default == "???" else shown(self.default)

    @property
    def sentence(self) -> str:
        """What the class says under the field."""
        return sentences(self.owner).get(self.field.name, "")


def entries(config: Any, prefix: str = "") -> Iterator[Entry]:
    """Those of a configuration and of all configurations inside it, in the order of their classes."""
    for field in dataclasses.fields(config):
        entry = Entry(prefix + field.name, type(config), field, getattr(config, field.name))
        yield entry
        if entry.is_group:
            yield from entries(entry.default, f"{entry.key}.")


@functools.cache
def sentences(kind: type) -> dict[str, str]:
    """What stands under each field of a dataclass, in one line; of inherited fields, too."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if dataclasses.is_dataclass(one):
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
            assert isinstance(tree.body[0], ast.ClassDef)
            body = tree.body[0].body
            for node, below in itertools.pairwise(body):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found[node.target.id] = _text(below)
    return found


def _text(node: ast.stmt) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(node.value.value.split()) if is_text else ""  # type: ignore[attr-defined]
