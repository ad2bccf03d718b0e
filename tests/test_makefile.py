"""Makefile targets that take a value from the command line: their reaction to a wrong one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_a_torch_that_pip_does_not_have_is_told_in_one_line(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    result = make(tmp_path, "venv", "TORCH=2.14.1+none", PIP_NO_INDEX="1")
    assert result.returncode == 2
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("make: pip"))
    assert line.startswith("make: pip has no torch==2.14.1+none: take a build of the version in constraints.txt, from")
    assert not list((tmp_path / ".venv").glob(".installed*"))


def test_a_version_of_torch_goes_to_pip() -> None:
    asked = "torch==2.14.1+cpu torchvision"
    assert asked in make(ROOT, "--dry-run", "--always-make", "venv", "TORCH=2.14.1+cpu").stdout
    assert "constraints.txt torch torchvision" in make(ROOT, "--dry-run", "--always-make", "venv").stdout


def test_the_notebook_of_a_run_that_is_not_measured(tmp_path: Path) -> None:
    result = make(ROOT, "--assume-old=.venv/.installed", "notebook", f"RUN={tmp_path}")
    assert result.returncode == 2
    assert result.stderr.splitlines()[0].startswith(f"make notebook: {tmp_path} is not measured; run")


def test_a_check_leaves_slow_tests_out_and_a_test_does_not() -> None:
    check = make(ROOT, "--dry-run", "--assume-old=.venv/.installed", "check").stdout
    assert all(command in check for command in ("ruff check .", "ruff format --check .", "bin/mypy"))
    assert '-m "not slow"' in check
    everything = make(ROOT, "--dry-run", "--assume-old=.venv/.installed", "test").stdout
    assert "-m pytest" in everything
    assert "slow" not in everything
