"""One space of each kind, and rays through it."""

from collections.abc import Callable

import torch

from nelf.core.cameras import Rays, mean_pose
from nelf.kernels.unit_cube import UnitCubeMapping
from tests.scenes import facing_poses


def cameras() -> torch.Tensor:
    """[9, 3, 4]: side by side, near z = 6, looking along -z."""
    return torch.from_numpy(facing_poses(9)[:, :3]).float()


def _box() -> UnitCubeMapping:
    return UnitCubeMapping.box(torch.tensor([0.1, -0.2, 0.3]), 1.3, 1.0, 7.0)


def _contraction() -> UnitCubeMapping:
    return UnitCubeMapping.contraction(torch.tensor([0.1, -0.2, 0.3]), 1.5, 0.2, 80.0)


def _frustum() -> UnitCubeMapping:
    poses = cameras()
    return UnitCubeMapping.frustum(mean_pose(poses), 0.5, poses, 2.0, 30.0)


SPACES: dict[str, Callable[[], UnitCubeMapping]] = {"box": _box, "contraction": _contraction, "frustum": _frustum}


def some_rays(name: str, count: int = 600, seed: int = 0) -> Rays:
    """Rays as cameras of such a scene send them; some miss the box or leave the frustum."""
    random = torch.Generator().manual_seed(seed)
    if name == "frustum":
        poses = cameras()
        pose = poses[torch.randint(len(poses), (count,), generator=random)]
        pixel = (torch.rand(count, 2, generator=random) - 0.5) * 1.3
        camera = torch.cat([pixel, -torch.ones(count, 1)], dim=1)
        return Rays(pose[:, :, 3].clone(), (pose[:, :, :3] @ camera[:, :, None])[..., 0])
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=1) * 4
    if name == "contraction":
        origins = origins / 3
    towards = torch.randn(count, 3, generator=random) - origins
    return Rays(origins, towards / 4)
