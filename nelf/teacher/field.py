"""Interface of teachers, which render rays, and base class of the fields that we train."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.core.cameras import Rays, image_rays
from nelf.core.devices import exact
from nelf.kernels.random_numbers import StepRandom
from nelf.kernels.unit_cube import UnitCubeMapping
from nelf.scene import Views

RENDER_CHUNK = 4096  # rays rendered at once: their data stays in a CPU's cache
UNSEEN = 0.5  # grey behind an opaque scene with unknown background


@dataclass(frozen=True)
class RenderOutput:
    """Rendered rays.

    rgb: colour premultiplied by alpha, [0, 1]. alpha: 1 everywhere for a teacher of scenes without alpha.
    depth: along the view axis (world units), where half of the ray's light is stopped; far if less than half is.
    """

    rgb: Float[Tensor, "*rays 3"]
    alpha: Float[Tensor, "*rays"]
    depth: Float[Tensor, "*rays"]

    def cpu(self) -> "RenderOutput":
        """The same on the CPU."""
        return RenderOutput(self.rgb.cpu(), self.alpha.cpu(), self.depth.cpu())


@runtime_checkable
class Teacher(Protocol):
    """Anything that renders rays."""

    def render(self, rays: Rays) -> RenderOutput:
        """Render rays [n, 3] in evaluation mode, without gradients. The teacher chooses its own chunks."""
        ...


@dataclass(frozen=True)
class ReducedPrecision:
    """`teacher` with its matrix products in `dtype`, for rendering only."""

    teacher: "RadianceField"
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        """The teacher's device."""
        return self.teacher.device

    def render(self, rays: Rays) -> RenderOutput:
        """See `Teacher.render`."""
        with torch.autocast(self.device.type, self.dtype):
            return self.teacher.render(rays)


class RadianceField(nn.Module, abc.ABC):
    """A teacher that trains on pixels.

    space: maps the scene to the unit cube. opaque: the scene has no alpha, and renders have alpha 1 everywhere.
    background: colour [0, 1] behind everything in an opaque scene. If it is None, rays that hit nothing are grey.
    """

    background: Tensor | None

    def __init__(self, space: UnitCubeMapping, *, opaque: bool, background: Float[Tensor, "3"] | None = None) -> None:
        super().__init__()
        self.space = space
        self.opaque = opaque
        self.register_buffer("background", background, persistent=False)  # measured, not learnt

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> "RadianceField":
        super()._apply(function, recurse)  # `to` and `cuda` call this
        self.space = self.space.to(self.device)
        return self

    @property
    def device(self) -> torch.device:
        """Device of the weights and of rendering."""
        return next(self.parameters()).device

    @property
    def rays_at_once(self) -> int:
        """Rays per chunk of a render."""
        return RENDER_CHUNK

    @abc.abstractmethod
    def render_train(self, rays: Rays, draws: StepRandom | None) -> tuple[Float[Tensor, "n 4"], int | Tensor]:
        """Render rays [n, 3] with gradients.

        Returns [n, 4]: premultiplied rgb, and alpha; and the number of samples.
        draws: jitters the samples (training); None takes the middle of their intervals.
        """

    @abc.abstractmethod
    def render_eval(self, rays: Rays) -> Float[Tensor, "n 5"]:
        """Render rays [n, 3] without jitter: premultiplied rgb, alpha, and `median_depths`."""

    def render_train_in_float32(self, rays: Rays, draws: StepRandom) -> tuple[Float[Tensor, "n 4"], int | Tensor]:
        """`render_train` in float32, even under autocast: bfloat16 is too coarse for densities."""
        with exact(rays.origins.device):
            return self.render_train(rays, draws)

    @abc.abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimizer."""

    def tables(self) -> list[Tensor]:
        """Parameters that are large, while a training step reads few of their rows."""
        return []

    def on_training_views(self, views: Views) -> None:
        """Called once before training starts."""

    def before_step(self, step: int, draws: StepRandom) -> None:
        """Called before every training step."""

    def after_step(self, total: Callable[[Tensor], Tensor]) -> None:
        """Called after the gradients of every training step. total: sums a tensor over all processes."""

    def hits_occupied(self, rays: Rays) -> Bool[Tensor, "n"]:
        """Mask of the rays that can teach anything."""
        return torch.ones(len(rays), dtype=torch.bool, device=rays.origins.device)

    def with_precision(self, dtype: torch.dtype) -> Teacher:
        """This teacher for renders with matrix products in `dtype`; itself if that would show."""
        return self

    @torch.no_grad()
    def render(self, rays: Rays) -> RenderOutput:
        """See `Teacher.render`."""
        count = self.rays_at_once
        parts = [self.render_eval(rays[i : i + count].to(self.device)) for i in range(0, len(rays), count)]
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        rgb, alpha, depth = out[:, :3], out[:, 3], out[:, 4]
        if self.opaque:
            behind = UNSEEN if self.background is None else self.background
            rgb, alpha = rgb + (1 - alpha)[:, None] * behind, torch.ones_like(alpha)
        return RenderOutput(rgb, alpha, torch.where(depth > 0, depth, self.space.far))


def render_image(
    teacher: Teacher, c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"], height: int, width: int
) -> RenderOutput:
    """Render one image: rgb [height, width, 3], alpha and depth [height, width], on the CPU."""
    return render_where_it_is(teacher, c2w, intrinsics, height, width).cpu()


@torch.no_grad()
def render_where_it_is(
    teacher: Teacher, c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"], height: int, width: int
) -> RenderOutput:
    """`render_image`, but on the teacher's device."""
    device = device_of(teacher)
    flat = teacher.render(image_rays(c2w.to(device), intrinsics.to(device), height, width).flatten())
    return RenderOutput(
        flat.rgb.reshape(height, width, 3), flat.alpha.reshape(height, width), flat.depth.reshape(height, width)
    )


def device_of(teacher: Teacher) -> torch.device:
    """The teacher's device; the CPU if it does not tell."""
    return teacher.device if isinstance(teacher, RadianceField | ReducedPrecision) else torch.device("cpu")
