"""What to export, and what an export must know beside the network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nelf.errors import ConfigError
from nelf.export.request import Photos
from nelf.export.targets import DEPLOYMENTS, TARGETS, Gate


@dataclass
class ExportConfig:
    """Bundles of one run."""

    targets: list[str] = field(default_factory=lambda: [name for name, target in TARGETS.items() if target.usual])
    """Platforms: ios (Core ML), android (LiteRT), onnx; made when named: web (a folder to be hosted), coreai."""
    precision: str = "auto"
    """One that every target knows (README has the table), or auto: fp16 for ios and coreai, fp32 and fp16 for android,
    fp32 for onnx and web."""
    image_output: bool = False
    """ios: whether the model gives a CVPixelBuffer instead of a float32 tensor."""
    golden_views: int = 8
    """Held-out poses that each bundle is executed on and carries the images of; at least 8."""
    ios_deployment: str = "16"
    """Lowest iOS version that must run the package: 16, 17 or 18."""
    min_psnr_fp32: float = 60.0
    """dB that an fp32 file must reach against PyTorch on every golden view."""
    min_psnr_fp16: float = 45.0
    """The same for fp16."""
    max_error_fp32: float = 0.01
    """Largest difference from PyTorch (of 1) that any value of an fp32 file's image may have."""
    max_error_fp16: float = 0.25
    """The same for fp16."""
    min_psnr_quantized: float = 25.0
    """The same for all others: below, something is broken. What they may lose is max_drop_db."""
    max_drop_db: float = 0.5
    """dB of PSNR against the photos of golden views that any file may lose beside PyTorch."""
    force: bool = False
    """Whether a file that loses more is kept all the same; its manifest says so."""
    calibration_views: int = 8
    """Training views on which int8 finds the ranges of activations and the layers that need more than integers."""
    calibration_drop_db: float = 0.1
    """dB of PSNR that these views may lose in 8 bits before one more layer gets float activations or stays float."""

    def __post_init__(self) -> None:
        for target in self.targets:
            check_form(target, self.precision)
        if self.image_output and not any(TARGETS[target].image_output for target in self.targets):
            able = ", ".join(name for name, target in TARGETS.items() if target.image_output)
            raise ConfigError(f"export.image_output=true is of no use to {', '.join(self.targets)}; it is for {able}")
        check_known("export.ios_deployment", self.ios_deployment, DEPLOYMENTS)
        for key in ("golden_views", "calibration_views"):
            if getattr(self, key) < 8:
                raise ConfigError(f"export.{key}={getattr(self, key)} is too few to trust; use 8 or more")

    def limits(self, gate: Gate) -> tuple[float, float]:
        """Least PSNR and largest error against PyTorch that a file held by `gate` may have."""
        return {
            Gate.FP32: (self.min_psnr_fp32, self.max_error_fp32),
            Gate.FP16: (self.min_psnr_fp16, self.max_error_fp16),
            Gate.DROP: (self.min_psnr_quantized, 1.0),
        }[gate]


@dataclass
class BundleContext:
    """What the scene and the run know. World space is the scene's; poses are c2w with OpenGL axes.

    kind: object, forward-facing or unbounded.
    up: world direction that is upwards for the viewer. focus: world point that a viewer circles around.
    near, far: depths along the view axis. background: RGB, 0 to 1, that alpha is to be composited over.
    train: poses that training saw; the bundle's region is what they cover.
    golden, golden_names: held-out poses and a name for each, fit for a file name. golden_photos: name to what a camera
    saw there, uint8 [height, width, 3] over `background`, for those where one was.
    calibration: some of the training views with their photos; int8 needs them.
    provenance: anything JSON that says where the weights come from: checkpoint (SHA-256), config.
    """

    name: str
    kind: str
    up: Float[Tensor, "3"]
    focus: Float[Tensor, "3"]
    near: float
    far: float
    background: tuple[float, float, float]
    train: Float[Tensor, "n 3 4"]
    golden: Float[Tensor, "views 3 4"]
    golden_names: tuple[str, ...]
    golden_photos: Mapping[str, Tensor] = field(default_factory=dict)
    calibration: Photos | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def plan(targets: list[str], precision: str, image_output: bool = False) -> list[tuple[str, str, str]]:
    """(target, precision, bundle name) of every bundle to make. The target's first precision goes without a suffix."""
    bundles = []
    for target in dict.fromkeys(targets):
        check_form(target, precision)
        default = TARGETS[target].auto[0]
        for one in TARGETS[target].auto if precision == "auto" else (precision,):
            picture = "-image" if image_output and TARGETS[target].image_output else ""
            bundles.append((target, one, (target if one == default else f"{target}-{one}") + picture))
    return bundles


def check_form(target: str, precision: str) -> None:
    """Raise ConfigError, listing what is known, when there is no such target, or no such precision of it."""
    check_known("export.targets", target, TARGETS)
    check_known("export.precision", precision, ["auto", *TARGETS[target].forms], f" for the target {target}")


def check_known(key: str, value: str, known: Iterable[str], where: str = "") -> None:
    """Raise ConfigError, listing what is known, when `value` is not."""
    names = list(known)
    if value not in names:
        raise ConfigError(f"{key}={value} is not known{where}; use one of {', '.join(names)}")
