"""The site: every public name explained and in the reference, pictures current, no page forgotten, no dead link."""

import ast
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.test_imports import SOURCES, STAGES, Sources
from tests.test_repository import FILES
from tools.docs import architecture
from tools.docs.__main__ import PAGES, generated, linked_files, nav_pages, navigation
from tools.docs.reference import packages
from tools.setting_up import ROOT

EXPLAINED_ELSEWHERE = {"forward", "do_GET", "do_HEAD", "end_headers", "convert_input"}
"""Methods of classes of PyTorch, http.server and Lightning, which explain them."""


def definitions(module: str, source: str) -> Iterator[tuple[str, ast.AST]]:
    """(name, node) of a module and of its public classes, functions and methods."""

    def inside(name: str, node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
        yield name, node
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
                here = f"{name}.{child.name}"
                yield from inside(here, child) if isinstance(child, ast.ClassDef) else [(here, child)]

    return inside(module, ast.parse(source))


def public(sources: Sources) -> dict[str, ast.AST]:
    return {name: node for module, source in sources.items() for name, node in definitions(module, source)}


def unexplained(sources: Sources) -> list[str]:
    """Public names without a docstring, of their own or of the method that they override."""
    names = public(sources)

    def overrides_explained(owner: str, method: str) -> bool:
        node = names.get(owner)
        bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases] if isinstance(node, ast.ClassDef) else []
        owners = [name for name in names if name.rpartition(".")[2] in bases]
        return any(is_explained(f"{base}.{method}") or overrides_explained(base, method) for base in owners)

    def is_explained(name: str) -> bool:
        return name in names and ast.get_docstring(names[name]) is not None  # type: ignore[arg-type]

    return [
        name
        for name in names
        for owner, _, last in [name.rpartition(".")]
        if not (is_explained(name) or last in EXPLAINED_ELSEWHERE or overrides_explained(owner, last))
    ]


def test_every_public_name_has_a_docstring() -> None:
    assert not unexplained(SOURCES)
    assert {name.rpartition(".")[2] for name in public(SOURCES)} >= EXPLAINED_ELSEWHERE


BASE = '"""A module."""\nclass A:\n    """A class."""\n    def f(self):\n        """A method."""\n'


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def g(): ...\n", ["m", "m.g"]),
        ('"""It."""\nclass B:\n    """It."""\n    def f(self): ...\n    def _g(self): ...\n', ["m.B.f"]),
        ('"""It."""\nclass B(A):\n    """It."""\n    def f(self): ...\n    def g(self): ...\n', ["m.B.g"]),
        ('"""It."""\nclass B(Module):\n    """It."""\n    def forward(self): ...\n', []),
    ],
)
def test_a_name_without_a_docstring_is_found(code: str, names: list[str]) -> None:
    assert unexplained({"base": BASE, "m": code}) == names


def test_the_reference_has_every_module() -> None:
    pages = generated()
    for module in SOURCES.keys() - packages().keys():
        package = module.rpartition(".")[0]
        if not module.rpartition(".")[2].startswith("_"):
            assert f"::: {module}\n" in pages[f"reference/{package}.md"]


def test_every_document_is_in_the_navigation() -> None:
    documents = {path.relative_to(ROOT).as_posix() for path in FILES if path.suffix == ".md"}
    documents -= {page for page in documents if page.startswith(("tests/", "build/"))}
    assert sorted(navigation()) == sorted(documents | generated().keys())


def test_the_pages_of_a_navigation() -> None:
    assert nav_pages(["a.md", {"B": ["b.md", {"C": ["c.md"]}]}]) == ["a.md", "b.md", "c.md"]


def test_files_that_a_page_links_to() -> None:
    text = "[a](images/demo.jpg) [b](../LICENSE#x) [c](design.md) [d](https://example.com/x.png) [e](none.png)"
    assert linked_files("docs/export.md", text) == {ROOT / "docs" / "images" / "demo.jpg", ROOT / "LICENSE"}


def test_the_picture_of_the_architecture_is_current() -> None:
    again = "draw it again: python -m tools.docs.architecture"
    assert architecture.PICTURE.read_text() == architecture.picture(), again


def test_the_picture_has_every_package_and_its_arrows_lead_down() -> None:
    text = architecture.picture()
    assert set(re.findall(r">([a-z]+)</text>", text)) == STAGES.keys() - {"__main__"} | {"core"}
    edges = architecture.arrows({package: targets for package, targets in STAGES.items() if package != "__main__"})
    layer = architecture.layers_of(edges, sorted(STAGES))
    assert all(layer[above] > layer[below] for above, below in edges)
    assert text.count("<path") == len(edges) + 1  # the arrows' head


def test_an_arrow_that_a_longer_way_implies_is_left_out() -> None:
    table = {"c": {"b", "a"}, "b": {"a"}, "a": set(), "d": {"c.part", "a"}}
    found = architecture.arrows({package: frozenset(targets) for package, targets in table.items()})
    assert found == {("c", "b"): True, ("b", "a"): True, ("d", "c"): False, ("d", "a"): True}


def names_in(inventory: Path) -> set[str]:
    """Of Sphinx's format, https://sphobjinv.readthedocs.io/en/stable/syntax.html: four lines, then zlib."""
    lines = zlib.decompress(inventory.read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ")[0] for line in lines}


def mkdocs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_site_is_built_with_every_public_name() -> None:
    result = subprocess.run([sys.executable, "-m", "tools.docs"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    site = PAGES.with_name("site")
    assert all((site / page).with_suffix("").joinpath("index.html").is_file() for page in generated())
    modules = SOURCES.keys() - packages().keys()
    expected = {name for m in modules if not m.rpartition(".")[2].startswith("_") for name in public({m: SOURCES[m]})}
    assert len(expected) > 1000
    assert not expected - names_in(site / "objects.inv")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[gone](gone.md)", "[gone](#gone)", "[gone](README.md#gone)", "![gone](gone.png)"])
def test_a_dead_link_is_an_error(text: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    settings |= {"docs_dir": str(pages), "site_dir": str(tmp_path / "site"), "nav": ["README.md"], "plugins": []}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    (pages / "README.md").write_text("# Fine\n\n[fine](#fine)\n")
    assert mkdocs("-f", tmp_path / "mkdocs.yml").returncode == 0
    (pages / "README.md").write_text(f"# Fine\n\n{text}\n")
    result = mkdocs("-f", tmp_path / "mkdocs.yml")
    assert result.returncode == 1
    assert "gone" in result.stderr
