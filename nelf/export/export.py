"""From a trained student to a bundle: convert, execute, compare, and only then keep."""

import copy
import dataclasses
import functools
import shutil
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.core.cameras import is_rigid
from nelf.core.errors import ConfigError, ExportError
from nelf.core.files import atomic_path
from nelf.core.images import premultiplied_over, to_float, to_uint8
from nelf.evaluate.metrics import psnr
from nelf.export.bundle import Bundle
from nelf.export.config import ExportConfig, check_known
from nelf.export.contents import POSES, GoldenView, list_files, reference_view, write_golden
from nelf.export.contract import (
    CameraInfo,
    ImageInfo,
    Latency,
    Manifest,
    ModelInfo,
    Parity,
    Quality,
    StudentInfo,
    TensorInfo,
    write_manifest,
)
from nelf.export.graph import BundleContext, CalibrationViews, ExportGraph, PixelGraph, Request
from nelf.export.parity import Difference, compare, failure
from nelf.export.region import covered_region
from nelf.export.targets import TARGETS, Target, Tolerance
from nelf.runtime.protocol import INPUT, OUTPUT
from nelf.student import Student, count_macs, count_parameters

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


def parity(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Parity, str | None]:
    """Agreement with PyTorch, and why it is not enough, None where it is."""
    least, largest = config.limits(gate.value)
    reason = failure(found.differences, least, largest)
    worst = min(d.psnr for d in found.differences)
    off = max(d.max_abs for d in found.differences)
    if gate is Tolerance.DROP:
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


def quality(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Quality, str | None]:
    """PSNR against the photos, and why the file is not to be kept, None where it is."""
    if not found.shown:
        unknown = "no photo, of a test view or a training view, says what it loses"
        reason = unknown if gate is Tolerance.DROP else None  # others are held to PyTorch's images
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
    return to_uint8(premultiplied_over(image, torch.tensor(background)))


def as_pixels(image: Float[Tensor, "height width channels"], background: Colour) -> Float[Tensor, "height width 3"]:
    """What is left of the image in a picture of 8 bits without alpha, 0 to 1."""
    return to_float(in_8bit(image, background))


PACKAGES = ("torch", "coremltools", "litert-torch", "ai-edge-litert", "onnx", "onnxruntime")


def export_bundle(
    model: Student,
    target: str,
    precision: str,
    context: BundleContext,
    config: ExportConfig,
    folder: Path,
    before_view: Callable[[], None] = lambda: None,
) -> Manifest:
    """Write `model` as the bundle `folder` for one target in one precision; what stood there before is replaced.

    The model file is executed from disk on every golden pose. Where it disagrees with PyTorch beyond the limits of
    `config`, ExportError is raised and nothing is left behind. Nor is it when `before_view`, called before each of
    these executions, raises.
    """
    check_known("export.targets", target, TARGETS)
    check_known("export.precision", precision, TARGETS[target].forms, f" for the target {target}")
    _check_context(context)
    model = copy.deepcopy(model).cpu().float().eval()
    chosen = TARGETS[target]
    picture = config.image_output and chosen.image_output
    beside = chosen.beside() if chosen.beside else None  # what lacks it fails before the work
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        path = temporary / chosen.file
        quantization = chosen.convert(
            Request(
                graph=_graph(model, chosen, precision, context, picture),
                precision=precision,
                path=path,
                calibration=context.calibration or CalibrationViews(context.train[:0]),
                allowed_drop=config.calibration_drop_db,
                ios_deployment=config.ios_deployment,
                image_output=picture,
            )
        )
        draft = _manifest(model, target, precision, context, config, picture)
        reference = functools.partial(as_pixels, background=context.background) if picture else _as_it_is
        found = measure(model, Bundle(temporary, draft), context, reference, before_view)
        near, disagreement = parity(found, config, chosen.forms[precision].gate)
        shown, loss = quality(found, config, chosen.forms[precision].gate)
        if disagreement is not None:
            raise ExportError(
                f"{target} {precision}: the file disagrees with PyTorch in {found.runtime}: {disagreement}; "
                f"nothing was written to {folder}"
            )
        if loss is not None and not config.force:
            raise ExportError(
                f"{target} {precision}: {loss}; nothing was written to {folder}; choose another precision, or keep it "
                "all the same with export.force=true"
            )
        write_golden(temporary, found.views)
        if beside:
            shutil.copytree(beside, temporary, dirs_exist_ok=True)
        files = list_files(temporary, chosen.file)
        manifest = dataclasses.replace(
            draft,
            model=dataclasses.replace(draft.model, bytes=sum(file.bytes for file in files if file.role == "model")),
            parity=near,
            quality=shown,
            latency=latency(found),
            quantization=quantization,
            files=files,
        )
        write_manifest(temporary, manifest)
    return manifest


def _graph(model: Student, target: Target, precision: str, context: BundleContext, picture: bool) -> ExportGraph:
    if picture:
        return PixelGraph(model, context.background)
    return ExportGraph(model, target.layout, target.forms[precision].dtype)


def _as_it_is(image: Tensor) -> Tensor:
    return image


def _check_context(context: BundleContext) -> None:
    if len(context.golden) < 8 or len(context.golden) != len(context.golden_names):
        raise ConfigError(
            f"export needs at least 8 golden poses, each with a name; got {len(context.golden)} poses and "
            f"{len(context.golden_names)} names"
        )
    for name, c2w in zip(context.golden_names, context.golden, strict=True):
        if not is_rigid(c2w):
            raise ConfigError(f"golden pose {name} is no rigid camera pose")


def _manifest(
    model: Student, target: str, precision: str, context: BundleContext, config: ExportConfig, picture: bool
) -> Manifest:
    """All that is known before the file is executed."""
    frame, chosen = model.frame, TARGETS[target]
    channels = 3 if picture else frame.channels
    background = [float(x) for x in context.background]
    shape = [1, frame.height, frame.width, channels]
    output = ("uint8", "CVPixelBuffer") if picture else ("float32", "NHWC")
    return Manifest(
        name=context.name,
        kind=context.kind,
        target=target,
        precision=precision,
        image=ImageInfo(
            width=frame.width,
            height=frame.height,
            channels=channels,
            alpha="premultiplied" if channels == 4 else "none",
            background=background,
            composited_over=background if channels < frame.channels else None,
        ),
        camera=CameraInfo(
            intrinsics=[float(x) for x in frame.intrinsics],
            near=float(context.near),
            far=float(context.far),
            up=[float(x) for x in context.up],
            focus=[float(x) for x in context.focus],
        ),
        region=covered_region(context.kind, context.train, context.focus, context.up),
        model=ModelInfo(
            path=chosen.file,
            input=TensorInfo(INPUT, [1, 3, 4], "float32", "row-major c2w"),
            output=TensorInfo(OUTPUT, shape, *output),
            varying=dict(chosen.varying) or None,
        ),
        files=[],
        golden=POSES,
        parity=Parity("not_run", reason="being exported"),
        student=StudentInfo(model.config.name, count_parameters(model), count_macs(model)),
        deployment={"ios": config.ios_deployment} if target == "ios" else dict(chosen.system),
        experimental=chosen.experimental or None,
        provenance={**context.provenance, "versions": _versions(chosen)},
    )


def _versions(target: Target) -> dict[str, str]:
    """Of everything that has a hand in the file."""
    return {name: version(name) for name in (*PACKAGES, *target.packages)}
