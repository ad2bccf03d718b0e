"""Check shapes and types of every annotated function of nelf while the tests run."""

import os
import signal
import sys
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import absl.logging
import jaxtyping
import pytest
import torch

# Ignored where a shell runs the tests in its background, and in every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

jaxtyping.install_import_hook("nelf", "beartype.beartype")  # before anything imports nelf

# absl, which LiteRT imports, closes the stream of its log handler when logging is configured anew, as Hydra does for a
# sweep; only the process's own streams are spared. Made while pytest captures, it would close the capture.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several threads sum in any order, which changes the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _single_precision() -> Iterator[None]:
    """Make device.precision=auto mean float32 on any CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nelf.core.devices.multiplies_bfloat16", lambda: False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _short_measurement() -> Iterator[None]:
    """Commands measure the machine for a second, and slow machines print a line about the wait. Tests need neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nelf.core.devices.SIZES", (256,))
        patch.setattr("nelf.core.devices.SECONDS", 0.0)
        patch.setattr("nelf.core.progress.PATIENCE", 60.0)
        yield


@pytest.fixture(autouse=True)
def _gradients_stay_on() -> Iterator[None]:
    """A test that leaves gradients off would break later tests."""
    yield
    left = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert left, "this test left gradients switched off"
