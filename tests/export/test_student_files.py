"""Exporting students other than the default: other readers, spacings and families."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nelf.bundle.bundle import render
from nelf.export import TARGETS, CalibrationViews, ExportGraph
from nelf.export.graph import Request
from nelf.runtime import open_model
from tests.export.networks import ahead, around, student
from tests.student.small import all_levels

pytestmark = pytest.mark.slow

LINES: dict[str, Any] = {**all_levels(reader="lines"), "channels": 4}
OPEN: dict[str, Any] = {"mapping": "disparity"}


@pytest.mark.parametrize(
    ("changes", "name", "precision", "least"),
    [
        (LINES, "android", "fp32", 80.0),
        (LINES, "onnx", "fp16", 55.0),
        (LINES, "ios", "fp16", 55.0),
        (OPEN, "android", "fp32", 80.0),
        (OPEN, "android", "fp16", 55.0),
        (OPEN, "onnx", "fp16", 55.0),
        (OPEN, "ios", "fp32", 80.0),
        (OPEN, "ios", "fp16", 55.0),
    ],
)
@torch.no_grad()
def test_the_file_gives_the_students_image(
    changes: dict[str, Any], name: str, precision: str, least: float, tmp_path: Path
) -> None:
    """Half-precision positions would fail: they have steps of 1/64 node with 16 nodes, and of 1/1000 for depths."""
    model = student(**changes)
    target, path = TARGETS[name], tmp_path / TARGETS[name].file
    graph = ExportGraph(model, target.layout, target.forms[precision].dtype)
    target.convert(Request(graph, precision, path, CalibrationViews(around(0))))
    loaded = open_model(path, 1)
    for pose in (ahead if model.frame.mapping == "disparity" else around)(3, seed=5):
        reference = model(pose[None]).permute(0, 2, 3, 1)
        assert reference.std() > 0.05, "a flat picture proves nothing"
        error = (render(loaded, pose) - reference[0]).square().mean()
        assert -10 * torch.log10(error) > least
