"""Bundles that several tests look at; made once."""

from pathlib import Path

import pytest

from nelf.export import TARGETS, ExportConfig, Manifest, export_bundle
from nelf.student import NeLF
from tests.export.networks import context, usual

ALL = [(name, precision) for name, target in TARGETS.items() if not target.beside for precision in target.forms]
Exported = dict[tuple[str, str], tuple[Path, Manifest]]


@pytest.fixture(scope="session")
def model() -> NeLF:
    return usual()


@pytest.fixture(scope="session")
def bundles(model: NeLF, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Every target in every precision, of one student. Not to be changed."""
    root = tmp_path_factory.mktemp("export")
    made: Exported = {}
    for target, precision in ALL:
        folder = root / f"{target}-{precision}"
        of_scene = context(model=model)
        made[target, precision] = folder, export_bundle(model, target, precision, of_scene, ExportConfig(), folder)
    return made
