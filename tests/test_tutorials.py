"""Each tutorial runs: its blocks marked `sh`, as written, in one folder with the scene that comes with nelf."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.setting_up import ROOT

SECONDS = 300
"""Of processor time. A tutorial should take a minute on a quiet machine; slow or busy cores need several times."""
LEFT_BEHIND = {
    "own_photos": ["sheet.png", "runs/first/report.html", "runs/first/eval/metrics.json"],
    "export_to_phone": ["runs/phone/export/ios/model.mlpackage", "runs/phone/export/android-fp16/model.tflite"],
}
"""Tutorial -> what it leaves in the folder."""


def blocks(name: str) -> list[str]:
    text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text()
    return re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_its_blocks_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "stilllife").symlink_to(ROOT / "datasets" / "stilllife")
    program = tmp_path / "bin" / "nelf"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m nelf \"$@\"\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    before = os.times()
    for block in blocks(name):
        result = subprocess.run(
            ["sh", "-eu", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
        )
        assert result.returncode == 0, f"{block}{result.stdout}{result.stderr}"
    after = os.times()
    for metrics in tmp_path.glob("runs/*/eval/metrics.json"):  # what was exported is what was trained
        psnr = {model: figures["psnr"] for model, figures in json.loads(metrics.read_text()).items()}
        assert psnr.keys() == {"teacher", "student", "ios", "android", "android-fp16", "onnx"}
        assert [psnr[model] for model in psnr if model != "teacher"] == pytest.approx([psnr["student"]] * 5, abs=0.1)
    assert [file for file in LEFT_BEHIND[name] if not (tmp_path / file).exists()] == []
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < SECONDS, f"{spent:.0f} s of processor time"


def test_every_tutorial_that_has_blocks_is_tried() -> None:
    pages = (ROOT / "docs" / "tutorials").glob("*.md")
    assert {page.stem for page in pages if blocks(page.stem)} == LEFT_BEHIND.keys()
    assert all("experiment=smoke" in "".join(blocks(name)) for name in LEFT_BEHIND)
