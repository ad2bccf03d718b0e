"""Fixtures of several distillation tests."""

from pathlib import Path

import pytest

from tests.distill.fakes import run


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pseudo views rendered in one go."""
    folder = tmp_path_factory.mktemp("pseudo")
    assert run(folder).complete
    return folder
