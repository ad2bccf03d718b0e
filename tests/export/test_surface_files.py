"""Students that say where the surface is, as files: the second encoding survives every converter."""

from pathlib import Path

import pytest
import torch

from nelf.export import TARGETS, ExportGraph, Photos
from nelf.export.request import Request
from tests.export.networks import ahead, around, student


@pytest.mark.parametrize(
    ("name", "precision", "mapping", "octaves", "least"),
    [
        ("android", "fp32", "linear", 8, 80.0),
        ("onnx", "fp32", "disparity", 8, 80.0),
        ("ios", "fp32", "disparity", 8, 80.0),
        # In half precision high octaves of a surface have few digits, of which an untrained network makes the most.
        ("ios", "fp16", "disparity", 3, 55.0),
    ],
)
@torch.no_grad()
def test_the_file_gives_the_students_image(
    name: str, precision: str, mapping: str, octaves: int, least: float, tmp_path: Path
) -> None:
    model = student("pyramid", mapping, channels=4, upsampler="surface", tail_octaves=octaves)
    target, path = TARGETS[name], tmp_path / TARGETS[name].file
    graph = ExportGraph(model, target.layout, target.forms[precision].dtype)
    target.convert(Request(graph, precision, path, Photos(around(0))))
    pose = (around if mapping == "linear" else ahead)(1, seed=5)
    reference = model(pose).permute(0, 2, 3, 1)
    assert reference.std() > 0.05, "a flat picture proves nothing"
    error = (target.load(path).render(pose) - reference).square().mean()
    assert -10 * torch.log10(error) > least
