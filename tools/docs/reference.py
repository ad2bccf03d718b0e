"""The pages of the reference: one a package of nelf, with every public name of its modules."""

import ast
from pathlib import Path

from tools.setting_up import ROOT


def packages(root: Path = ROOT) -> dict[str, list[str]]:
    """Package -> its own modules, private ones left out."""
    found: dict[str, list[str]] = {}
    for init in sorted((root / "nelf").rglob("__init__.py")):
        name = ".".join(init.parent.relative_to(root).parts)
        modules = [path.stem for path in sorted(init.parent.glob("*.py")) if not path.stem.startswith("_")]
        found[name] = [f"{name}.{module}" for module in modules]
    return found


def page(package: str, modules: list[str], root: Path = ROOT) -> str:
    """What a package says of itself, then its modules; mkdocstrings fills them in."""
    said = ast.get_docstring(ast.parse((root / package.replace(".", "/") / "__init__.py").read_text()))
    parts = [f"# {package}", said or "", *(f"::: {module}" for module in modules)]
    return "\n\n".join(parts) + "\n"


def pages(root: Path = ROOT) -> dict[str, str]:
    """Path in the site -> text."""
    return {f"reference/{package}.md": page(package, modules, root) for package, modules in packages(root).items()}
