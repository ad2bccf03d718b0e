"""A small sample of `benchmarks/fuzz.py`: damaged bundles with matching hashes in the manifest."""

from pathlib import Path

import pytest

from benchmarks.fuzzing import readers
from tests.export.conftest import Exported
from tests.test_fuzz import BUNDLES, findings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_against_hostile_files(
    name: str, bundles: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_exported", lambda target, root: bundles[target, "fp32"][0])
    count, found = findings(name, tmp_path, 6)
    assert count == 6
    assert found == []
