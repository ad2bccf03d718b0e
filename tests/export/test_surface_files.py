"""Students that say where the surface is, as files: the second encoding survives every converter."""

from pathlib import Path

import pytest
import torch

from nelf.export import TARGETS, ExportGraph, Photos
from nelf.export.network import TO_FIRST, TO_LAST, Layout
from nelf.export.request import Request
from nelf.export.surface import GridGraph
from nelf.student import StudentConfig
from nelf.student.frame import EXTENT
from nelf.student.grid import FactoredGrid
from tests.export.networks import ahead, around, student


@pytest.mark.parametrize("layout", list(Layout))
@torch.no_grad()
def test_features_of_places_are_the_students(layout: Layout) -> None:
    grid = FactoredGrid(5)
    points = 2 * EXTENT * (2 * torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0)) - 1)
    last = layout is Layout.CHANNELS_LAST
    found = GridGraph(grid, layout, torch.float32)(points.permute(TO_LAST) if last else points)
    torch.testing.assert_close(found.permute(TO_FIRST) if last else found, grid(points), rtol=1e-4, atol=1e-5)
    assert (points.abs() > EXTENT).any()


@pytest.mark.parametrize(
    ("name", "precision", "mapping", "least"),
    [
        ("android", "fp32", "linear", 80.0),
        ("onnx", "fp16", "disparity", 55.0),
        ("ios", "fp32", "disparity", 80.0),
        ("ios", "fp16", "linear", 55.0),
        ("ios", "fp16", "disparity", 55.0),
    ],
)
@torch.no_grad()
def test_the_file_gives_the_students_image(
    name: str, precision: str, mapping: str, least: float, tmp_path: Path
) -> None:
    model = student("pyramid", mapping, channels=4, upsampler="surface", tail_octaves=StudentConfig().tail_octaves)
    target, path = TARGETS[name], tmp_path / TARGETS[name].file
    graph = ExportGraph(model, target.layout, target.forms[precision].dtype)
    target.convert(Request(graph, precision, path, Photos(around(0))))
    pose = (around if mapping == "linear" else ahead)(1, seed=5)
    reference = model(pose).permute(0, 2, 3, 1)
    assert reference.std() > 0.05, "a flat picture proves nothing"
    error = (target.load(path).render(pose) - reference).square().mean()
    assert -10 * torch.log10(error) > least
