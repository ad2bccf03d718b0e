"""A small sample of `benchmarks/fuzz.py`: every reader, seeded, in this process."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzzing import readers
from benchmarks.fuzzing.cases import Outcome, Runner, Watch
from nelf.core.errors import SceneError

pytestmark = pytest.mark.slow

WATCH = Watch()  # an audit hook cannot be taken away again: one for all
BUNDLES = ("manifest", "golden", "onnx", "tflite", "mlpackage")
CASES = 12


def findings(name: str, folder: Path, count: int = CASES) -> tuple[int, list[str]]:
    """Cases that ran, and what was found."""
    outcomes: list[Outcome] = []
    Runner(name, folder, None, WATCH).run(20260, count, lambda: None, outcomes.append)
    return len(outcomes), [f"{outcome.kind}: {outcome.what}" for outcome in outcomes if outcome.is_finding]


@pytest.mark.parametrize("name", sorted(set(readers.READERS) - set(BUNDLES)))
def test_a_reader_against_hostile_files(name: str, tmp_path: Path) -> None:
    count, found = findings(name, tmp_path)
    assert count == CASES
    assert found == []


def no_key(folder: Path) -> None:
    raise KeyError("a mistake of ours")


def two_lines(folder: Path) -> None:
    raise SceneError("two\nlines")


def look_outside(folder: Path) -> None:
    (folder.parents[1] / "secret").read_text()


def clear_outside(folder: Path) -> None:
    shutil.rmtree(folder.parents[1] / "drawer", ignore_errors=True)


@pytest.mark.parametrize(
    ("read", "kind"),
    [(no_key, "traceback"), (two_lines, "lines"), (look_outside, "outside"), (clear_outside, "outside")],
)
def test_a_fault_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], None], kind: str
) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "drawer").mkdir()
    seed_read = readers.Reader(readers.seed_run, readers.changing("*.json"), lambda folder: None)
    monkeypatch.setitem(readers.READERS, "faulty", seed_read)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))
    runner = Runner("faulty", tmp_path / "own", None, WATCH)
    runner.reader = dataclasses.replace(seed_read, read=read)
    outcomes: list[Outcome] = []
    runner.run(0, 2, lambda: None, outcomes.append)
    assert [outcome.kind for outcome in outcomes] == [kind, kind]
