"""A teacher with known pictures: a ball with a red +x, a green +y and a blue +z side, in a room or in nothing."""

import contextlib
import functools
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nelf.core.cameras import Rays, look_at
from nelf.core.progress import Stop
from nelf.distill import DistillConfig, PseudoDataset
from nelf.distill.dataset import find_written, finish, make_plan
from nelf.distill.render import print_warnings, render_share
from nelf.scene import Scene, SceneBounds, SceneType, Views
from nelf.teacher.field import RenderOutput
from tests.scenes import facing_poses, hemisphere_poses


class BallTeacher:
    """Ball of radius 1 at the origin. half: fraction of its colour and alpha (soft alpha)."""

    def __init__(self, alpha: bool = True, opacity: float = 1.0, stop_after: int | None = None) -> None:
        self.alpha = alpha
        self.opacity = opacity
        self.rendered = 0
        self.stop_after = stop_after
        self.on_limit = lambda: None

    def render(self, rays: Rays) -> RenderOutput:
        self.rendered += 1
        if self.rendered == self.stop_after:
            self.on_limit()
        length = rays.directions.norm(dim=-1, keepdim=True)
        unit = rays.directions / length
        along = (rays.origins * unit).sum(-1)
        inside = along**2 - (rays.origins**2).sum(-1) + 1
        hit = (inside > 0) & (along < 0)
        depth = -along - inside.clamp(min=0).sqrt()
        colour = 0.5 + 0.45 * (rays.origins + depth[:, None] * unit)
        alpha = hit.float() * self.opacity if self.alpha else torch.ones_like(along)
        rgb = torch.where(hit[:, None], colour, 0.0 if self.alpha else 0.3 + 0.2 * unit) * alpha[:, None]
        return RenderOutput(rgb, alpha, torch.where(hit, depth / length[:, 0], 8.0))


def make_ball() -> BallTeacher:
    return BallTeacher()


class DyingTeacher(BallTeacher):
    """Kills its process at its third view, like a system without memory, unless `folder` records an earlier death."""

    def __init__(self, folder: Path) -> None:
        super().__init__(stop_after=3)
        self.folder = folder
        self.on_limit = self.die

    def die(self) -> None:
        with contextlib.suppress(FileExistsError):
            (self.folder / "died").mkdir()
            os.kill(os.getpid(), signal.SIGKILL)


def make_nothing() -> BallTeacher:
    return BallTeacher(opacity=0.0)


def make_scene(
    kind: SceneType = SceneType.OBJECT, views: int = 24, size: tuple[int, int] = (16, 20), channels: int | None = None
) -> Scene:
    """A scene whose training images are never read."""
    poses = facing_poses(views) if kind is SceneType.FORWARD_FACING else hemisphere_poses(views)
    if kind is SceneType.UNBOUNDED:
        poses = walk_poses(views)
    c2w = torch.tensor(poses[:, :3], dtype=torch.float32)
    height, width = size
    intrinsics = torch.tensor([[1.4 * width, 1.4 * width, width / 2, height / 2]]).repeat(views, 1)
    channels = channels or (4 if kind is SceneType.OBJECT else 3)
    train = Views(
        tuple(f"r_{i}" for i in range(views)),
        c2w,
        intrinsics,
        height,
        width,
        functools.partial(_nothing, size, channels),
    )
    up = torch.tensor([0.0, 1.0, 0.0] if kind is SceneType.FORWARD_FACING else [0.0, 0.0, 1.0])
    bounds = make_bounds(kind, up)
    return Scene(
        **vars(bounds), name="ball", root=Path("ball"), format="none", splits={"train": train}, channels=channels
    )


def make_bounds(kind: SceneType, up: Tensor, center: Tensor | None = None) -> SceneBounds:
    """Of a ball of radius 1.2, at the origin where no center is given."""
    return SceneBounds(kind, "", 2.0, 6.0, torch.zeros(3) if center is None else center, 1.2, up)


def walk_poses(count: int) -> np.ndarray:
    """[count, 4, 4]: a walk along a rising arc, looking near the origin, not quite upright."""
    angle = torch.linspace(0, 4, count)
    eye = torch.stack([5 * angle.cos(), 5 * angle.sin(), 0.5 * angle + 0.2 * (9 * angle).sin()], dim=1)
    up = torch.stack([0.1 * (5 * angle).sin(), 0.1 * (7 * angle).cos(), torch.ones(count)], dim=1)
    target = torch.stack([0.3 * (6 * angle).sin(), 0.3 * (8 * angle).cos(), 0 * angle], dim=1)
    pose = look_at(eye, target, up)
    return torch.cat([pose, torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(count, 1, 4)], dim=1).numpy()


def _nothing(size: tuple[int, int], channels: int, index: int) -> np.ndarray:
    return np.zeros((*size, channels), np.uint8)


FROM = {"teacher": "ball"}


def run(folder: Path, scene: Scene | None = None, teacher: BallTeacher | None = None, **settings: Any) -> PseudoDataset:
    """Views rank, rank + world, ... by this process; whichever of several ends last writes transforms.json."""
    rank, world = settings.pop("rank", 0), settings.pop("world", 1)
    provenance, stop = settings.pop("provenance", FROM), settings.pop("stop", Stop())
    config = DistillConfig(**{"views": 6, "depth": False, **settings})
    plan = make_plan(scene or make_scene(), config, provenance, folder)
    if (written := find_written(plan)) is not None:
        return written
    render_share(teacher or BallTeacher(), plan, stop, rank, world, quiet=False)
    done = finish(plan, partly=config.max_minutes is not None)
    if world == 1:
        print_warnings(done)
    return done


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
