"""benchmarks/encoding.py on small untrained students: it runs, and what it calls worse is worse."""

from pathlib import Path

import pytest
import torch

from benchmarks.encoding import Direct, accuracy, duration, on_white, trained
from nelf.export import ExportGraph
from nelf.student import Mapping, NeLF
from tests.export.networks import around


@torch.no_grad()
def test_a_surface(model: NeLF, tmp_path: Path) -> None:
    poses = around(2)
    table = accuracy(model, poses, on_white(model(poses).permute(0, 2, 3, 1)), tmp_path)
    direct, separated, ours, exact = ([cell.strip() for cell in row.split("|")[1:-1]] for row in table[3:])
    assert float(ours[1]) < 3e-3 < min(float(direct[1]), float(separated[1]))
    assert float(exact[3]) >= max(float(row[3]) for row in (direct, separated, ours))
    found = duration(model, poses[:1], 1, tmp_path)
    assert list(found) == ["whole", "rays", "surface"]
    assert min(found.values()) > 0


def test_device_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.encoding.SIZE", 16)
    monkeypatch.setattr("benchmarks.encoding.VIEWS", 16)
    model, poses, images = trained(Mapping.NDC, minutes=1e-6)
    assert images.shape == (len(poses), 16, 16, 3)
    with torch.no_grad():
        direct, ours = (form(poses[:1]) for form in (Direct(model), ExportGraph(model).encoding))
    torch.testing.assert_close(ours, direct, atol=1e-3, rtol=0)  # phases up to 64 in float32
