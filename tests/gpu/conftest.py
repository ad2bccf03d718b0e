"""These tests need a GPU: `pytest -m gpu`. Elsewhere each is listed as not run."""

from pathlib import Path

import pytest
import torch

from nelf.core.devices import best_accelerator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = best_accelerator() == "cpu"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if absent:
                item.add_marker(pytest.mark.skip(reason="not run: this machine has no CUDA GPU and no MPS"))


@pytest.fixture
def device() -> torch.device:
    return torch.device(best_accelerator(), 0)
