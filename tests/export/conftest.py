"""Bundles that several tests use; made once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from nelf.bundle import Manifest
from nelf.export import TARGETS, Conversions, ExportConfig, export_bundle
from nelf.student import Student
from tests.export.networks import context, usual

ALL = [(name, precision) for name, target in TARGETS.items() if not target.extra_files for precision in target.forms]
ROOT = Path(__file__).resolve().parents[2]
AGAIN = [("ios", "fp16"), ("ios", "w4"), ("android", "fp32"), ("android", "int8"), ("onnx", "fp32"), ("coreai", "fp16")]
"""Exported twice: of each converter a form without and, where there is one, with quantization."""
Exported = dict[tuple[str, str], tuple[Path, Manifest]]


class Elsewhere(NamedTuple):
    """Exports by another process, one folder each. log: its output."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="session")
def model() -> Student:
    return usual()


@pytest.fixture(scope="session")
def conversions() -> Conversions:
    """What exports of `model` share."""
    return {}


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """Some forms once more, by a process with other hashes, which runs on its own core while `bundles` are made."""
    folder = tmp_path_factory.mktemp("elsewhere")
    log = folder / "log.txt"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    command = [sys.executable, "-m", "tests.export.again", str(folder), *(f"{t}-{p}" for t, p in AGAIN)]
    with log.open("wb") as stream:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    yield Elsewhere(folder, process, log)
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def bundles(
    model: Student, conversions: Conversions, elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """Every target in every precision, of one student. Do not change them."""
    root = tmp_path_factory.mktemp("export")
    made: Exported = {}
    torch.set_num_threads(1)  # a command that a test ran may have left more, whose sums have other last bits
    for target, precision in ALL:
        folder = root / f"{target}-{precision}"
        of_scene = context(model=model)
        arguments = model, target, precision, of_scene, ExportConfig(), folder
        made[target, precision] = folder, export_bundle(*arguments, conversions=conversions)
    return made
