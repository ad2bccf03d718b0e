"""Makes one bundle: convert, execute the file, compare with PyTorch, and only then give it its name."""

import copy
import dataclasses
import functools
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from nelf.cameras import is_rigid
from nelf.errors import ConfigError, ExportError
from nelf.export.bundle import Bundle
from nelf.export.config import ExportConfig, check_known
from nelf.export.contract import (
    CameraInfo,
    ImageInfo,
    Manifest,
    ModelInfo,
    Parity,
    StudentInfo,
    TensorInfo,
    write_manifest,
)
from nelf.export.files import list_files
from nelf.export.golden import POSES, write_golden
from nelf.export.graph import INPUT, OUTPUT, ExportGraph, PixelGraph
from nelf.export.measured import as_pixels, latency, measure, parity, quality
from nelf.export.region import covered_region
from nelf.export.request import BundleContext, Photos, Request
from nelf.export.targets import TARGETS, Target
from nelf.storage import atomic_path
from nelf.student import Student, count_macs, count_parameters

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
                calibration=context.calibration or Photos(context.train[:0]),
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
