"""Which package may import which: along the flow of data, never back; each heavy third party in one place.

The tables below are the rules. They are checked on the source text (ast), including imports inside functions, since a
lazy import is a dependency too.
"""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOUNDATION = frozenset({"", "core"})
"""What knows nothing of stages; "" is nelf itself (its version)."""

STAGES: Mapping[str, frozenset[str]] = {
    "kernels": frozenset(),
    "scene": frozenset(),
    "capture": frozenset({"scene"}),
    "teacher": frozenset({"scene", "kernels"}),
    "distill": frozenset({"scene", "teacher"}),
    "student": frozenset({"kernels"}),
    "train": frozenset({"scene.scene", "student"}),
    "evaluate": frozenset({"scene.scene"}),
    "runtime": frozenset(),
    "compatibility": frozenset({"runtime", "student.macs"}),
    "bundle": frozenset({"runtime"}),
    "export": frozenset(
        {"bundle", "compatibility", "runtime", "student", "evaluate.metrics", "viewer.site"}
    ),
    "benchmark": frozenset({"bundle", "compatibility", "runtime", "viewer"}),
    "viewer": frozenset(),
    "fit": frozenset({"bundle", "benchmark", "student", "viewer"}),
    "pipeline": frozenset(
        {
            "scene", "capture", "teacher", "distill", "student", "train", "evaluate", "bundle", "export",
            "compatibility", "fit",
        }
    ),
    "__main__": frozenset({"cli"}),
    "cli": frozenset(
        {
            "scene", "capture", "teacher", "distill", "student", "train", "evaluate", "bundle", "export",
            "compatibility", "benchmark", "viewer", "fit", "pipeline",
        }
    ),
}  # fmt: skip
"""stage -> what it may import beside the foundation: a whole stage, or one module of it (its names only)."""

HOMES: Mapping[str, frozenset[str]] = {
    "coremltools": frozenset(
        {"nelf.export.coreml", "nelf.runtime.coreml_program"}
    ),  # writes the package; reads it back
    "litert_torch": frozenset({"nelf.export.litert"}),
    "ai_edge_litert": frozenset(
        {
            "nelf.export.litert",
            "nelf.compatibility.readers",
            "nelf.runtime.litert_structure",
            "nelf.runtime.litert",
        }
    ),
    "litert_quantizer": frozenset({"nelf.export.litert"}),
    "ai_edge_quantizer": frozenset({"nelf.export.litert"}),
    "onnx": frozenset({"nelf.export.onnx", "nelf.compatibility.readers"}),
    "onnxscript": frozenset({"nelf.export.onnx"}),
    "onnxruntime": frozenset({"nelf.runtime.onnx", "nelf.capture.masks"}),
    "coreai": frozenset({"nelf.runtime.coreai"}),
    "coreai_torch": frozenset({"nelf.export.coreai"}),
    "tensorflow": frozenset(),  # coremltools imports it where it is there, and the process segfaults with torch
    "pycolmap": frozenset({"nelf.capture.structure_from_motion"}),
    "rembg": frozenset({"nelf.capture.masks"}),
    "lpips": frozenset({"nelf.evaluate.metrics"}),
    "cryptography": frozenset({"nelf.viewer.phone"}),
    "segno": frozenset({"nelf.viewer.phone"}),
    "jinja2": frozenset({"nelf.evaluate.html"}),
    "numba": frozenset({"nelf.kernels"}),
    "hydra": frozenset({"nelf.pipeline"}),
    "omegaconf": frozenset({"nelf.pipeline"}),
    "typer": frozenset({"nelf.cli.main", "nelf.cli.bundles", "nelf.cli.data", "nelf.cli.fit"}),
    "rich": frozenset({"nelf.core.progress", "nelf.benchmark.tables", "nelf.pipeline.export_stage"}),
}
"""Third party -> the only modules (or packages) that import it."""

MOST_LINES_OF_CODE = 300
FEWEST_LINES, MOST_LINES = 40, 350  # of a module: fewer belong into another one, more are two topics
MOST_MODULES = 162  # 145 of the house, and the rooms of `nelf fit`, tiles, the phone, masks and large tables
LEAST_MEDIAN = 110  # lines of a module

Sources = Mapping[str, str]
"""Module name -> source. A package's name stands for its __init__.py."""


def read_sources() -> dict[str, str]:
    sources = {}
    for path in sorted((ROOT / "nelf").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return sources


def packages(sources: Sources) -> set[str]:
    return {name.rpartition(".")[0] for name in sources} | {"nelf"}


def imported(module: str, sources: Sources) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of every import statement in `module`; relative ones made absolute."""
    for node in ast.walk(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                inside = module if module in packages(sources) else module.rpartition(".")[0]
                parents = inside.split(".")[: len(inside.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield from ((base, alias.name) for alias in node.names)


def defined_in(module: str, name: str | None, sources: Sources) -> str:
    """The module of `from module import name`: a submodule, or the one that the package takes the name from."""
    if name is None:
        return module
    if f"{module}.{name}" in sources:
        return f"{module}.{name}"
    if module in packages(sources) and module in sources:
        for node in ast.walk(ast.parse(sources[module])):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if (alias.asname or alias.name) == name and node.module in sources:
                        return defined_in(node.module, alias.name, sources)
    return module


def stage_of(module: str) -> str:
    """First part below nelf: data, cli, errors; "" for nelf itself."""
    return [*module.split("."), ""][1]


def under(module: str, roots: frozenset[str]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def direction_violations(sources: Sources) -> list[str]:
    """Imports between stages that the table does not allow."""
    found = []
    for module in sources:
        stage = stage_of(module)
        for target, name in imported(module, sources):
            if target.split(".")[0] != "nelf":
                continue
            origin = defined_in(target, name, sources)
            if stage_of(origin) == stage or stage_of(origin) in FOUNDATION:
                continue
            if not under(origin.removeprefix("nelf."), STAGES.get(stage, frozenset())):
                found.append(f"{module} imports {origin}")
    return found


def unknown_stages(sources: Sources) -> list[str]:
    """Modules that are in no table."""
    return sorted({stage_of(module) for module in sources} - FOUNDATION - set(STAGES))


def home_violations(sources: Sources) -> list[str]:
    """Third parties imported outside their place."""
    return [
        f"{module} imports {target}"
        for module in sources
        for target, _ in imported(module, sources)
        if (home := HOMES.get(target.split(".")[0])) is not None and not under(module, home)
    ]


def undeclared(sources: Sources, declared: set[str]) -> list[str]:
    """Third parties from no declared distribution: they are there only by chance."""
    provided = packages_distributions()
    tops = {target.split(".")[0] for module in sources for target, _ in imported(module, sources)}
    third = tops - set(sys.stdlib_module_names) - {"nelf"}
    return sorted(top for top in third if not declared & {canonical(name) for name in provided.get(top, [])})


def canonical(distribution: str) -> str:
    """A distribution's name in the form of https://peps.python.org/pep-0503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared_distributions() -> set[str]:
    """Distributions that pyproject.toml names for users of nelf, without development tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["colmap"], *extras["coreai"], *extras["masks"]]
    return {canonical(re.split(r"[^\w.-]", one)[0]) for one in wanted}


def cycles(sources: Sources) -> list[str]:
    """Import cycles. Importing a module of another package also imports that package."""
    graph: dict[str, set[str]] = {}
    for module in sources:
        edges = set()
        for target, name in imported(module, sources):
            literal = f"{target}.{name}" if f"{target}.{name}" in sources else target
            if literal in sources and literal != "nelf":
                edges.add(literal)
                package = literal.rpartition(".")[0]
                if package not in ("nelf", "") and not under(module, frozenset({package})):
                    edges.add(package)
        graph[module] = edges - {module}
    done: set[str] = set()
    found: list[str] = []

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            found.append(" -> ".join([*way[way.index(module) :], module]))
        elif module not in done:
            for target in sorted(graph[module]):
                visit(target, [*way, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def lines_of_code(source: str) -> int:
    """Lines with code: not blank, not a comment, not a docstring."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


SOURCES = read_sources()


def test_there_is_something_to_check() -> None:
    assert {"nelf.cli.main", "nelf.pipeline", "nelf.scene.scene", "nelf.export.coreml"} <= set(SOURCES)
    assert not unknown_stages(SOURCES), "add the new package to STAGES (or the new module to FOUNDATION)"


def test_imports_follow_the_way_of_the_data() -> None:
    assert not direction_violations(SOURCES)


def test_third_parties_stay_at_home() -> None:
    assert not home_violations(SOURCES)


def test_third_parties_are_declared() -> None:
    """test_wheel.py cannot tell: its environment sees everything installed here."""
    assert not undeclared(SOURCES, declared_distributions()), "add it to the dependencies in pyproject.toml"


def test_every_home_is_there() -> None:
    """A renamed module must not leave a rule that applies to nothing."""
    assert not {home for homes in HOMES.values() for home in homes} - set(SOURCES)


def test_no_cycles() -> None:
    assert not cycles(SOURCES)


def test_files_are_short() -> None:
    lengths = {module: lines_of_code(source) for module, source in SOURCES.items()}
    assert not {module: length for module, length in lengths.items() if length > MOST_LINES_OF_CODE}


def lengths_of_modules() -> dict[str, int]:
    """Lines of every module but `__init__` and `__main__`."""
    own = set(SOURCES) - packages(SOURCES) - {"nelf.__main__"}
    return {module: len(SOURCES[module].splitlines()) for module in own}


def test_a_module_holds_one_topic() -> None:
    lengths = lengths_of_modules()
    unfit = {module for module, n in lengths.items() if not FEWEST_LINES <= n <= MOST_LINES}
    assert not unfit, "merge what is short into the module that uses it; split what is long"
    assert len(lengths) <= MOST_MODULES
    assert statistics.median(lengths.values()) >= LEAST_MEDIAN


@pytest.mark.parametrize(
    "arguments", [["-c", "import nelf.cli.main"], ["-m", "nelf", "--help"]], ids=["import", "help"]
)
def test_the_command_line_starts_without_torch(arguments: list[str]) -> None:
    """Help must be instant: nothing heavy is imported before a command needs it."""
    command = [sys.executable, "-X", "importtime", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines() if "|" in line}
    assert "typer" in loaded
    assert not loaded & {"torch", "numpy", "hydra", "numba", "coremltools", "lightning_fabric"}


# The checks themselves, on made-up packages


MADE_UP = {
    "nelf": "",
    "nelf.core": "",
    "nelf.core.errors": "",
    "nelf.scene": "from nelf.scene.scene import Views\nfrom nelf.scene.load import load_scene\n",
    "nelf.scene.scene": "import nelf.core.errors\n",
    "nelf.scene.load": "from nelf.scene.scene import Views\n",
    "nelf.student": "from nelf.student.blocks import Body\n",
    "nelf.student.blocks": "import torch\n",
    "nelf.train": "from nelf.scene import Views\nfrom nelf.student import Body\n",
}


def with_code(**code: str) -> dict[str, str]:
    return {**MADE_UP, **{name.replace("__", "."): text for name, text in code.items()}}


def test_the_made_up_package_is_clean() -> None:
    assert not direction_violations(MADE_UP)
    assert not home_violations(MADE_UP)
    assert not cycles(MADE_UP)
    assert not unknown_stages(MADE_UP)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"nelf__student__blocks": "from nelf.scene import Views\n"}, "nelf.student.blocks imports nelf.scene.scene"),
        ({"nelf__student__blocks": "from ..scene import load_scene\n"}, "nelf.student.blocks imports nelf.scene.load"),
        ({"nelf__train": "from nelf.scene import load_scene\n"}, "nelf.train imports nelf.scene.load"),
        ({"nelf__train": "def f():\n    import nelf.scene.load\n"}, "nelf.train imports nelf.scene.load"),
        ({"nelf__core__errors": "from nelf.student import Body\n"}, "nelf.core.errors imports nelf.student.blocks"),
        (
            {"nelf__scene__load": "import nelf.cli.main\n", "nelf__cli__main": ""},
            "nelf.scene.load imports nelf.cli.main",
        ),
    ],
)
def test_a_wrong_direction_is_found(code: dict[str, str], message: str) -> None:
    assert direction_violations(with_code(**code)) == [message]


def test_a_third_party_away_from_home_is_found() -> None:
    code = with_code(nelf__student__blocks="def f():\n    from coremltools.converters import mil\n")
    assert home_violations(code) == ["nelf.student.blocks imports coremltools.converters"]
    assert not home_violations(with_code(nelf__export__coreml="import coremltools as ct\n"))


def test_an_undeclared_third_party_is_found() -> None:
    code = with_code(nelf__scene__load="def f():\n    import yaml\n    from PIL import Image\n    import json\n")
    assert undeclared(code, {"torch", "pillow"}) == ["yaml"]
    assert undeclared(code, {"pillow", "pyyaml"}) == ["torch"]


def test_a_cycle_is_found() -> None:
    assert cycles(with_code(nelf__scene__scene="def f():\n    from nelf.scene.load import load_scene\n"))
    assert cycles(with_code(nelf__student__blocks="from nelf.train import x\n"))  # train imports student
    assert not cycles(with_code(nelf__scene__load="from nelf.scene import scene\n"))  # a submodule, not the package


def test_an_unknown_package_is_found() -> None:
    assert unknown_stages(with_code(nelf__gallery="")) == ["gallery"]


def test_only_code_is_counted() -> None:
    text = (
        '"""Said\ntwice."""\n\n# a comment\nx = """a\nb"""\n\ndef f():\n    "Said."\n    return (\n        x\n    )\n'
    )
    assert lines_of_code(text) == 6
