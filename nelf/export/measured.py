"""What an exported model is measured by: the golden poses, the photos, and the limits of its precision."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.bundle.bundle import Difference, compare, failure, render
from nelf.bundle.contents import GoldenView
from nelf.bundle.manifest import Latency, NotRun, Parity, Quality, QualityNotRun
from nelf.core.errors import ExportError
from nelf.core.images import premultiplied_over, to_float, to_uint8
from nelf.evaluate.metrics import psnr
from nelf.export.config import ExportConfig
from nelf.export.graph import BundleContext
from nelf.export.targets import Tolerance
from nelf.runtime import Runtime, RuntimeModel
from nelf.student import Student

Colour = tuple[float, float, float]
WARM_UP = 2  # images rendered before timing starts
SLACK_DB = 1.0
"""How far a quantised file may be from its measured PSNR in `nelf verify`: kernels round differently elsewhere."""


@dataclasses.dataclass
class Measured:
    """Measurements of one model file, with one entry per golden view, in order."""

    runtime: Runtime
    views: list[GoldenView] = dataclasses.field(default_factory=list)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    shown: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """PSNR of the file and of PyTorch against the photo, for views with a photo."""
    photos: Literal["test", "training"] = "test"
    """Whether these photos are of test views, or of training views because no golden view has one."""


@torch.no_grad()
def reference_view(model: Student, name: str, c2w: Float[Tensor, "3 4"]) -> GoldenView:
    """The view as PyTorch renders it."""
    return GoldenView(name, c2w, model(c2w[None])[0].permute(1, 2, 0).contiguous())


def measure(
    model: Student,
    runtime: Runtime,
    loaded: RuntimeModel,
    context: BundleContext,
    reference: Callable[[Tensor], Tensor],
    before: Callable[[], None],
) -> Measured:
    """Execute the loaded model on every golden pose. If none of them has a photo, also on the calibration views.

    reference: turns PyTorch's image into what the file should return. before: called before each image.
    """
    found = Measured(runtime)
    for name, c2w in zip(context.golden_names, context.golden.cpu().float(), strict=True):
        before()
        view = reference_view(model, name, c2w)
        plain, view = view.image, dataclasses.replace(view, image=reference(view.image))
        start = time.perf_counter()
        image = render(loaded, view.c2w)
        found.seconds.append(time.perf_counter() - start)
        if image.shape != view.image.shape:
            raise ExportError(f"the file gives an image of {tuple(image.shape)}, PyTorch of {tuple(view.image.shape)}")
        found.views.append(view)
        found.differences.append(compare(name, image, view.image))
        if name in context.golden_photos:
            found.shown.append(_shown(image, plain, context.golden_photos[name], context.background))
    if not found.shown and context.calibration is not None:
        found.photos = "training"
        for c2w, photo in zip(context.calibration.c2w, context.calibration.images, strict=True):
            before()
            view = reference_view(model, "", c2w.cpu().float())
            found.shown.append(_shown(render(loaded, view.c2w), view.image, photo, context.background))
    return found


def _shown(image: Tensor, plain: Tensor, photo: Tensor, background: Colour) -> tuple[float, float]:
    return psnr(in_8bit(image, background), photo), psnr(in_8bit(plain, background), photo)


def parity(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Parity, str | None]:
    """Agreement with PyTorch, and why it is not enough, or None if it is."""
    least, largest = config.limits(gate.value)
    reason = failure(found.differences, least, largest)
    worst = min(d.psnr for d in found.differences)
    off = max(d.max_abs for d in found.differences)
    if gate is Tolerance.DROP:
        least, largest = worst - SLACK_DB, min(2 * off, 1.0)
    return Parity(
        status="passed",
        compared_with="pytorch",
        runtime=found.runtime.name,
        views=len(found.differences),
        psnr_min=worst,
        psnr_mean=statistics.fmean(d.psnr for d in found.differences),
        max_abs=off,
        required_psnr=float(least),
        allowed_max_abs=float(largest),
    ), reason


def quality(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Quality | QualityNotRun, str | None]:
    """PSNR against the photos, and why the file is refused, or None if it is not."""
    if not found.shown:
        unknown = "without a photo of a test view or a training view, its loss is unknown"
        reason = unknown if gate is Tolerance.DROP else None  # others are compared with PyTorch's images
        forced = True if reason and config.force else None
        return QualityNotRun(status="not_run", reason=unknown, forced=forced), reason
    psnr_file, psnr_pytorch = (statistics.fmean(values) for values in zip(*found.shown, strict=True))
    drop = psnr_pytorch - psnr_file
    too_much = drop > config.max_drop_db
    reason = (
        f"{psnr_file:.2f} dB against the photos of {len(found.shown)} {found.photos} views where PyTorch has "
        f"{psnr_pytorch:.2f}: {drop:.2f} dB are lost, but export.max_drop_db={config.max_drop_db:g} is allowed"
    )
    return Quality(
        status="measured",
        photos=found.photos,
        views=len(found.shown),
        psnr=psnr_file,
        pytorch_psnr=psnr_pytorch,
        drop_db=drop,
        allowed_drop_db=float(config.max_drop_db),
        forced=too_much and config.force,
    ), reason if too_much else None


def latency(found: Measured) -> Latency | NotRun:
    """Median time per image."""
    if found.runtime.untimed is not None:
        return NotRun(status="not_run", reason=found.runtime.untimed)
    timed = found.seconds[WARM_UP:]
    return Latency(
        status="measured",
        milliseconds=1e3 * statistics.median(timed),
        runs=len(timed),
        threads=torch.get_num_threads(),
        runtime=found.runtime.name,
    )


def in_8bit(image: Float[Tensor, "height width channels"], background: Colour) -> UInt8[Tensor, "height width 3"]:
    """The image, RGB or premultiplied RGBA, composited over `background`, in 8 bits."""
    return to_uint8(premultiplied_over(image, torch.tensor(background)))


def as_pixels(image: Float[Tensor, "height width channels"], background: Colour) -> Float[Tensor, "height width 3"]:
    """The image as an 8-bit picture without alpha shows it, 0 to 1."""
    return to_float(in_8bit(image, background))
