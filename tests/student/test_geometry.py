"""Where the points of a ray lie."""

import pytest
import torch

from nelf.student import Mapping, SceneGeometry
from tests.student.frames import cameras, frame


def test_points_keep_to_the_ball() -> None:
    poses = cameras(16, distance=4.0)
    lens = torch.tensor([35.0, 35.0, 16.0, 16.0]).expand(16, 4)
    given = (poses, lens, (32, 32), 4, 2.0, 6.0, torch.zeros(3), 1.0, Mapping.LINEAR)
    assert (SceneGeometry.around(*given).near, SceneGeometry.around(*given).far) == (2.0, 6.0)
    narrow = SceneGeometry.around(*given, within_ball=True)
    depths = (-poses[:, :, 3] * -poses[:, :, 2]).sum(1)
    assert narrow.near == pytest.approx(float(depths.min()) - 1)
    assert narrow.far == pytest.approx(float(depths.max()) + 1)
    wide = SceneGeometry.around(*given[:7], 9.0, Mapping.LINEAR, within_ball=True)
    assert (wide.near, wide.far) == (2.0, 6.0)


@pytest.mark.parametrize("mapping", [Mapping.LINEAR, Mapping.DISPARITY])
def test_fraction_is_the_inverse_of_depth(mapping: Mapping) -> None:
    made_for = frame(mapping)
    fraction = torch.linspace(0, 1, 11)
    torch.testing.assert_close(made_for.fraction_at(made_for.depth_at(fraction)), fraction, rtol=1e-4, atol=1e-5)
    assert made_for.fraction_at(torch.tensor([0.0, 1e9])).tolist() == pytest.approx([0, 1])
