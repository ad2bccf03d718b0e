"""Checks of the whole repository: sizes, paths, commands in the documents, versions."""

import fnmatch
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from nelf import __version__
from nelf.cli.main import app
from nelf.pipeline import compose_config, config_folder

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 5_000_000
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/results.md",
    "docs/design.md",
    "docs/benchmark.md",
    "docs/fit.md",
    "docs/student.md",
    "docs/teacher.md",
    "docs/scaling.md",
    "docs/gpu.md",
    "docs/robustness.md",
    "docs/export.md",
    "docs/viewers.md",
    "docs/verification.md",
    "docs/glossary.md",
    "docs/tutorials/own_photos.md",
    "docs/tutorials/export_to_phone.md",
    "datasets/README.md",
)
TEXT = {
    ".py",
    ".md",
    ".yaml",
    ".yml",
    ".toml",
    ".txt",
    ".json",
    ".ipynb",
    ".j2",
    ".html",
    ".js",
    ".ts",
    ".css",
    ".swift",
    ".kt",
}
TEXT_NAMES = {"Makefile", "run", "LICENSE", ".gitignore"}

MACHINE_PATHS = re.compile(r"(?<![\w.~})-])/(?:work|root|home/\w+|Users/\w+)/")
TEMPORARY_PATHS = re.compile(r"(?<![\w.~})-])/tmp/")
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|registry\.npmjs|--(?:extra-)?index-url|find-links")


def tracked() -> Iterator[Path]:
    """Files of the working tree that .gitignore allows: what a commit could contain. Needs no git."""
    patterns = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()]
    patterns = [pattern.rstrip("/") for pattern in patterns if not pattern.startswith("#")] + [".git"]

    def ignored(path: Path) -> bool:
        whole = path.relative_to(ROOT).as_posix()
        return any(fnmatch.fnmatch(whole if "/" in p else path.name, p) for p in patterns)

    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not ignored(Path(folder, name))]
        yield from (path for name in files if not ignored(path := Path(folder, name)))


FILES = sorted(tracked())


def texts() -> Iterator[tuple[str, str]]:
    """(name, content) of text files, without tests, which may contain forbidden paths."""
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        if (path.suffix in TEXT or path.name in TEXT_NAMES) and not name.startswith("tests/"):
            yield name, path.read_text()


def hits(pattern: re.Pattern[str], texts: Iterator[tuple[str, str]]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def commands(name: str) -> list[str]:
    """Calls of make, nelf or our scripts in a document's (indented) code blocks and in `inline` code."""
    found = []
    for line in re.sub(r"\\\n\s*", "", (ROOT / name).read_text()).splitlines():
        parts = [line.strip()] if line.startswith("    ") else re.findall(r"`([^`]+)`", line)
        for part in parts:
            part = re.sub(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?", "", part.partition("  ")[0].partition(" #")[0])
            if re.match(r"(?:make|nelf) [a-z-]|python (?:benchmarks|tools|docs|datasets)/", part):
                found.append(part)
    return found


COMMANDS = [pytest.param(c, id=f"{d}-{c}") for d in DOCUMENTS for c in dict.fromkeys(commands(d))]


def test_the_listing_is_not_empty() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert {"README.md", "nelf/cli/main.py", ".ci/run", "configs/config.yaml", "docs/conventions.md"} <= names
    assert not [name for name in names if name.startswith((".venv/", "runs/", ".git/"))]


def test_no_file_is_large() -> None:
    assert not [str(path) for path in FILES if path.stat().st_size > MOST_BYTES]


def test_no_path_of_a_machine() -> None:
    assert not hits(MACHINE_PATHS, texts())
    # in a document, a folder for scratch files is an example
    assert not hits(TEMPORARY_PATHS, ((name, text) for name, text in texts() if not name.endswith(".md")))


def test_no_package_registry_is_named() -> None:
    assert not hits(REGISTRIES, texts())


@pytest.mark.parametrize("line", ["cd /work/main", 'path = "/root/x"', "see /home/ada/nelf", "(/Users/ada/nelf)"])
def test_a_path_of_a_machine_is_found(line: str) -> None:
    assert hits(MACHINE_PATHS, iter([("made up", line)])) == [f"made up:1: {line}"]


@pytest.mark.parametrize("line", ["see docs/work/plan.md", "~/root/x", "runs/home/scene/x"])
def test_other_paths_are_not(line: str) -> None:
    assert not hits(MACHINE_PATHS, iter([("made up", line)]))


def test_the_documents_name_commands() -> None:
    assert {"make demo", "make test"} <= set(commands("README.md"))
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_documents_works(command: str) -> None:
    """The target, script or subcommand exists; for nelf, its options exist too, and its overrides compose."""
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert [word for word in words if "=" not in word and word not in targets] == []
        return
    if program == "python":
        assert (ROOT / words[0]).is_file()
        return
    known = typer.main.get_command(app)
    while words and (inner := getattr(known, "commands", {}).get(words[0])) is not None:
        known, words = inner, words[1:]
    assert not hasattr(known, "commands") or not words or words[0].startswith("--"), f"nelf has no {words[0]}"
    options = {option for parameter in known.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options
    overrides = [word for word in words if re.match(r"[a-z_/.]+=", word)]
    if "--multirun" in words:
        overrides = [word.partition(",")[0] for word in overrides]
    if overrides:
        compose_config(["scene.path=nowhere", *overrides])


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = []
    for name in (*DOCUMENTS, "docs/conventions.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text()):
            if not re.match(r"\w+:", link) and not ((ROOT / name).parent / link).exists():
                broken.append(f"{name}: {link}")
    assert not broken


def test_every_command_and_experiment_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    named = {" ".join(c.split()[1:2]) for c in commands("README.md") if c.startswith("nelf ")}
    assert set(typer.main.get_command(app).commands) <= named  # type: ignore[attr-defined]
    folder = config_folder() / "experiment"
    for path in folder.rglob("*.yaml"):
        assert f"experiment={path.relative_to(folder).with_suffix('').as_posix()}" in text


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert re.search(rf"^## \[{re.escape(__version__)}\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def test_torch_is_pinned() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    assert {"torch", "torchvision", "coremltools", "litert-torch", "onnxruntime"} <= set(pins)
    assert "tensorflow" not in pins  # coremltools imports it where it is there, and the process segfaults with torch
