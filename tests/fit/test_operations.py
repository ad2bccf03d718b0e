"""What a network does: counted without computing, and compared with the file."""

from pathlib import Path

import pytest
import torch

from nelf.export import ExportGraph, litert
from nelf.fit import count_operations, file_megabytes
from nelf.fit.space import _Recorder
from nelf.student import Layout, count_macs
from tests.student.frames import frame
from tests.student.small import small_student


def test_multiply_adds_are_those_of_the_other_count() -> None:
    model = small_student(frame(size=(32, 48)))
    assert count_operations(model).macs == count_macs(model)


def test_work_is_the_sum_over_the_levels() -> None:
    """Lookups and convolutions by hand, for an image of 4 x 6 coarse rays."""
    model = small_student(frame(size=(32, 48)), coarse_reader="planes", middle_reader="planes")
    coarse, middle, cells = 4 * 6, 8 * 12, 16 * 24
    counts = count_operations(model)
    taps = 3 * 4  # planes, and the nodes around a point
    rows = taps * (coarse * 3 + middle * 3 + cells * 2)
    assert counts.work["rows"] == rows
    assert counts.work["lookup"] == 4 * rows, "channels of each table"
    assert counts.work["network"] == 1
    assert counts.work["activation"] == middle * 32 + cells * 4 * 3, "softmax over depths, sigmoid of RGB"
    width = 8
    assert counts.work["transposed"] == coarse / 4 * 2 * width * width * 2 * 2, "back from half resolution"


@pytest.mark.parametrize(("channels", "as_if"), [(8, 8), (9, 16), (16, 16)])
def test_channels_that_do_not_fill_the_lanes_cost_as_if_they_did(channels: int, as_if: int) -> None:
    layer = torch.nn.Conv2d(4, channels, 1, device="meta")
    with torch.no_grad(), _Recorder() as recorder:
        layer(torch.empty(1, 4, 5, 6, device="meta"))
    assert recorder.work["pointwise"] == 4 * as_if * 30
    assert recorder.macs == 4 * channels * 30
    assert recorder.work["convolved"] == (4 + channels) * 30


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_size_of_the_file_is_known_before_it_is_written(precision: str, tmp_path: Path) -> None:
    model = small_student(frame(size=(32, 48)), fine_nodes=96, fine_channels=8)
    path = tmp_path / "model.tflite"
    litert.convert(ExportGraph(model, Layout.CHANNELS_LAST), path)
    if precision == "fp16":
        litert.halve_weights(path)
    predicted = file_megabytes(count_operations(model), precision)
    assert path.stat().st_size / 1e6 <= predicted, "the budget of a size is a limit"
    assert predicted <= path.stat().st_size / 1e6 + 0.05
