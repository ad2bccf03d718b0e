"""What the model file on disk does on the golden poses: how near PyTorch, how near the photos, how fast."""

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.evaluate.metrics import psnr
from nelf.export.bundle import Bundle
from nelf.export.config import ExportConfig
from nelf.export.contract import Latency, Parity, Quality
from nelf.export.golden import GoldenView, reference_view
from nelf.export.parity import Difference, compare, failure
from nelf.export.request import BundleContext
from nelf.export.targets import Gate
from nelf.student import Student

Colour = tuple[float, float, float]
WARM_UP = 2  # images rendered before the clock counts
SLACK_DB = 1.0
"""What `nelf verify` lets a quantised file be off from what was measured: kernels round differently elsewhere."""


@dataclasses.dataclass
class Measured:
    """Of one model file; one entry a golden view, in order."""

    runtime: str
    untimed: str | None
    views: list[GoldenView] = dataclasses.field(default_factory=list)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    shown: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """PSNR of the file and of PyTorch against the photo, for views that have one."""
    photos: str = "test"
    """Of which views these photos are: test, or training where no golden view has one."""


def measure(
    model: Student,
    bundle: Bundle,
    context: BundleContext,
    reference: Callable[[Tensor], Tensor],
    before: Callable[[], None],
) -> Measured:
    """Execute the bundle's file on every golden pose; where none of them has a photo, on the calibration views, too.

    reference: makes of PyTorch's image what the file is meant to give. before: called before each image.
    """
    found = Measured(bundle.session.runtime, bundle.session.untimed)
    for name, c2w in zip(context.golden_names, context.golden.cpu().float(), strict=True):
        before()
        view = reference_view(model, name, c2w)
        plain, view = view.image, dataclasses.replace(view, image=reference(view.image))
        start = time.perf_counter()
        image = bundle.render(view.c2w)
        found.seconds.append(time.perf_counter() - start)
        found.views.append(view)
        found.differences.append(compare(name, image, view.image))
        if name in context.golden_photos:
            found.shown.append(_shown(image, plain, context.golden_photos[name], context.background))
    if not found.shown and context.calibration is not None:
        found.photos = "training"
        for c2w, photo in zip(context.calibration.c2w, context.calibration.images, strict=True):
            before()
            view = reference_view(model, "", c2w.cpu().float())
            found.shown.append(_shown(bundle.render(view.c2w), view.image, photo, context.background))
    return found


def _shown(image: Tensor, plain: Tensor, photo: Tensor, background: Colour) -> tuple[float, float]:
    return psnr(in_8bit(image, background), photo), psnr(in_8bit(plain, background), photo)


def parity(found: Measured, config: ExportConfig, gate: Gate) -> tuple[Parity, str | None]:
    """Agreement with PyTorch, and why it is not enough, None where it is."""
    least, largest = config.limits(gate.value)
    reason = failure(found.differences, least, largest)
    worst = min(d.psnr for d in found.differences)
    off = max(d.max_abs for d in found.differences)
    if gate is Gate.DROP:
        least, largest = worst - SLACK_DB, min(2 * off, 1.0)
    return Parity(
        status="passed",
        compared_with="pytorch",
        runtime=found.runtime,
        views=len(found.differences),
        psnr_min=worst,
        psnr_mean=statistics.fmean(d.psnr for d in found.differences),
        max_abs=off,
        required_psnr=float(least),
        allowed_max_abs=float(largest),
    ), reason


def quality(found: Measured, config: ExportConfig, gate: Gate) -> tuple[Quality, str | None]:
    """PSNR against the photos, and why the file is not to be kept, None where it is."""
    if not found.shown:
        unknown = "no photo, of a test view or a training view, says what it loses"
        reason = unknown if gate is Gate.DROP else None  # others are held to PyTorch's images
        return Quality("not_run", reason=unknown, forced=True if reason and config.force else None), reason
    psnr_file, psnr_pytorch = (statistics.fmean(values) for values in zip(*found.shown, strict=True))
    drop = psnr_pytorch - psnr_file
    too_much = drop > config.max_drop_db
    reason = (
        f"{psnr_file:.2f} dB against the photos of {len(found.shown)} {found.photos} views where PyTorch has "
        f"{psnr_pytorch:.2f}: {drop:.2f} dB are lost, export.max_drop_db={config.max_drop_db:g} are allowed"
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


def latency(found: Measured) -> Latency:
    """Median time of an image."""
    if found.untimed is not None:
        return Latency("not_run", reason=found.untimed)
    timed = found.seconds[WARM_UP:]
    return Latency(
        status="measured",
        milliseconds=1e3 * statistics.median(timed),
        runs=len(timed),
        threads=torch.get_num_threads(),
        runtime=found.runtime,
    )


def in_8bit(image: Float[Tensor, "height width channels"], background: Colour) -> UInt8[Tensor, "height width 3"]:
    """The image, RGB or premultiplied RGBA, over `background` in 8 bits."""
    if image.shape[-1] == 4:
        image = image[..., :3] + (1 - image[..., 3:]) * torch.tensor(background)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def as_pixels(image: Float[Tensor, "height width channels"], background: Colour) -> Float[Tensor, "height width 3"]:
    """What is left of the image in a picture of 8 bits without alpha, 0 to 1."""
    return in_8bit(image, background).float() / 255
