"""Makes one bundle: convert, execute the file, compare with PyTorch, and only then give it its name."""

import copy
import dataclasses
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from nelf.cameras import is_rigid
from nelf.errors import ConfigError, ExportError
from nelf.export.bundle import Bundle
from nelf.export.config import BundleContext, ExportConfig, check_known
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
from nelf.export.golden import POSES, reference_view, write_golden
from nelf.export.graph import INPUT, OUTPUT, ExportGraph
from nelf.export.parity import Difference, compare, failure
from nelf.export.region import covered_region
from nelf.export.targets import TARGETS
from nelf.storage import atomic_path
from nelf.student import NeLF, count_macs, count_parameters

PACKAGES = ("torch", "coremltools", "litert-torch", "ai-edge-litert", "onnx", "onnxruntime")


def export_bundle(
    model: NeLF,
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
    check_known("export.precision", precision, TARGETS[target].dtypes)
    _check_context(context)
    model = copy.deepcopy(model).cpu().float().eval()
    chosen = TARGETS[target]
    beside = chosen.beside() if chosen.beside else None  # what lacks it fails before the work
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        graph = ExportGraph(model, chosen.layout, chosen.dtypes[precision])
        chosen.convert(graph, precision, temporary / chosen.file, config.ios_deployment)
        draft = _manifest(model, target, precision, context, config)
        bundle = Bundle(temporary, draft)
        views, differences = [], []
        for name, c2w in zip(context.golden_names, context.golden, strict=True):
            before_view()
            view = reference_view(model, name, c2w.cpu().float())
            differences.append(compare(name, bundle.render(view.c2w), view.image))
            views.append(view)
        psnr, max_abs = config.gate(precision)
        reason = failure(differences, psnr, max_abs)
        if reason is not None:
            raise ExportError(
                f"{target} {precision}: the file disagrees with PyTorch in {bundle.session.runtime}: {reason}; "
                f"nothing was written to {folder}"
            )
        write_golden(temporary, views)
        parity = _parity(bundle.session.runtime, differences, psnr, max_abs)
        manifest = dataclasses.replace(draft, parity=parity, files=list_files(temporary, chosen.file))
        write_manifest(temporary, manifest)
        if beside:
            shutil.copytree(beside, temporary, dirs_exist_ok=True)
    return manifest


def _check_context(context: BundleContext) -> None:
    if len(context.golden) < 8 or len(context.golden) != len(context.golden_names):
        raise ConfigError(
            f"export needs at least 8 golden poses, each with a name; got {len(context.golden)} poses and "
            f"{len(context.golden_names)} names"
        )
    for name, c2w in zip(context.golden_names, context.golden, strict=True):
        if not is_rigid(c2w):
            raise ConfigError(f"golden pose {name} is no rigid camera pose")


def _manifest(model: NeLF, target: str, precision: str, context: BundleContext, config: ExportConfig) -> Manifest:
    """All that is known before the file is executed."""
    frame = model.frame
    shape = [1, frame.height, frame.width, frame.channels]
    return Manifest(
        name=context.name,
        kind=context.kind,
        target=target,
        precision=precision,
        image=ImageInfo(
            width=frame.width,
            height=frame.height,
            channels=frame.channels,
            alpha="premultiplied" if frame.channels == 4 else "none",
            background=[float(x) for x in context.background],
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
            path=TARGETS[target].file,
            input=TensorInfo(INPUT, [1, 3, 4], "float32", "row-major c2w"),
            output=TensorInfo(OUTPUT, shape, "float32", "NHWC"),
        ),
        files=[],
        golden=POSES,
        parity=Parity("not_run", reason="being exported"),
        student=StudentInfo(model.config.name, count_parameters(model), count_macs(model)),
        deployment={"ios": config.ios_deployment} if target == "ios" else {},
        provenance={**context.provenance, "versions": _versions()},
    )


def _parity(runtime: str, differences: list[Difference], required_psnr: float, allowed_max_abs: float) -> Parity:
    return Parity(
        status="passed",
        compared_with="pytorch",
        runtime=runtime,
        views=len(differences),
        psnr_min=min(d.psnr for d in differences),
        psnr_mean=sum(d.psnr for d in differences) / len(differences),
        max_abs=max(d.max_abs for d in differences),
        required_psnr=float(required_psnr),
        allowed_max_abs=float(allowed_max_abs),
    )


def _versions() -> dict[str, str]:
    """Of everything that has a hand in the file."""
    return {name: version(name) for name in PACKAGES}
