"""Public names of a package whose modules take long to import: each name is imported on first use.

The names stand once, at the top of the package's __init__.py, where type checkers look for them:

    if TYPE_CHECKING:
        from nelf.train.loop import train
    else:
        __getattr__ = lazy_names(__name__)

Then `from nelf.train.config import TrainConfig` does not import PyTorch, although other names of `nelf.train` need it.
"""

import ast
import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of `package`. No name may equal a module's name: Python puts the module in its place."""

    @functools.cache
    def origins() -> dict[str, str]:
        file = sys.modules[package].__file__
        assert file is not None
        return {
            alias.asname or alias.name: node.module
            for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }

    def find(name: str) -> Any:
        if name.startswith("__") or name not in origins():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(origins()[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
