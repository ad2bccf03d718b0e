"""nelf on a fake device that is not the CPU: nothing is refused, and there are hardly any waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nelf.core.optimization import LATE
from tests.accelerator import START, STEPS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("kind", "precisions"),
    [
        ("object", ("32-true", "bf16-mixed", "16-mixed")),
        ("forward-facing", ("32-true", "16-mixed")),
        ("unbounded", ("bf16-mixed",)),
    ],
)
def test_nothing_is_refused_and_steps_do_not_wait(kind: str, precisions: tuple[str, ...]) -> None:
    """In its own process: the fake device cannot be removed from PyTorch again."""
    command = [sys.executable, "-m", "tests.accelerator", kind, *precisions]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    # One view's mask, to carve with; the table, the cells and the pixels are many times as many.
    assert counted.pop(START)["largest on the CPU"] <= 2**16  # initial weights are drawn there, whatever the scene
    assert set(counted) == {
        f"{part} {precision}" for part in ("teacher", "view", "student") for precision in precisions
    }
    for part, found in counted.items():
        assert found["refused"] == 0, done.stdout
        assert found["operations"] > 100, part  # it did compute there
        if part.startswith(("teacher", "student")):
            assert found["waits"] <= STEPS // LATE, done.stdout
        if part.startswith("teacher"):  # a student's pictures come from the host
            assert found["handed over"] == 0, done.stdout
        if part.startswith("view"):
            assert found["waits"] <= 24, done.stdout  # three a block of samples, and the copies at the end
