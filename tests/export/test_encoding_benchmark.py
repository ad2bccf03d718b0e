"""benchmarks/encoding.py and the straight conversion of benchmarks/export.py on small untrained students."""

from pathlib import Path

import pytest
import torch

from benchmarks.encoding import Direct, accuracy, duration, encoding_of, on_white, trained
from benchmarks.export import runner, straight
from nelf.export import ExportGraph
from nelf.student import STUDENTS, Mapping
from nelf.student.mobiler2l import MobileR2L
from tests.export.networks import around, student

pytestmark = pytest.mark.slow


@torch.no_grad()
def test_what_is_called_worse_is_worse(tmp_path: Path) -> None:
    model, poses = student("mobiler2l", channels=4), around(2)
    assert isinstance(model, MobileR2L)
    table = accuracy(model, poses, on_white(model(poses).permute(0, 2, 3, 1)), tmp_path)
    direct, separated, ours = ([cell.strip() for cell in row.split("|")[1:-1]] for row in table[3:])
    assert float(ours[1]) < 3e-3 < min(float(direct[1]), float(separated[1]))
    assert float(ours[3]) >= max(float(row[3]) for row in (direct, separated))
    found = duration(model, poses[:1], 1, tmp_path)
    assert list(found) == ["whole", "encoding"]
    assert min(found.values()) > 0


def test_device_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.encoding.SIZE", 16)
    monkeypatch.setattr("benchmarks.encoding.VIEWS", 16)
    model, poses, images = trained(Mapping.NDC, minutes=1e-6)
    assert images.shape == (len(poses), 16, 16, 3)
    ours = encoding_of(ExportGraph(model))
    assert ours is not None
    with torch.no_grad():
        # Phases up to 2^7 times coordinates of order one, in float32.
        torch.testing.assert_close(ours(poses[:1]), Direct(model)(poses[:1]), atol=2e-3, rtol=0)


@pytest.mark.parametrize("family", STUDENTS)
@torch.no_grad()
def test_the_straight_conversion_gives_the_picture_too(family: str, tmp_path: Path) -> None:
    model, pose = student(family), around(1)
    rays = straight(model, pose, tmp_path / "straight.tflite")
    (found,) = runner(tmp_path / "straight.tflite", rays)().values()
    torch.testing.assert_close(torch.from_numpy(found), model(pose).permute(0, 2, 3, 1), atol=1e-4, rtol=0)
