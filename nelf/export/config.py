"""What to export, and what an export must know beside the network."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nelf.errors import ConfigError
from nelf.export.targets import DEPLOYMENTS, PRECISIONS, TARGETS


@dataclass
class ExportConfig:
    """Bundles of one run."""

    targets: list[str] = field(default_factory=lambda: [name for name, target in TARGETS.items() if target.usual])
    """Platforms: ios (Core ML), android (LiteRT), onnx; and web (a folder to be hosted), made when named."""
    precision: str = "auto"
    """fp32 or fp16; auto is what suits each target: fp16 for ios, both for android, fp32 for onnx and web."""
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

    def __post_init__(self) -> None:
        for target in self.targets:
            check_known("export.targets", target, TARGETS)
        check_known("export.precision", self.precision, ["auto", *PRECISIONS])
        check_known("export.ios_deployment", self.ios_deployment, DEPLOYMENTS)
        if self.golden_views < 8:
            raise ConfigError(f"export.golden_views={self.golden_views} is too few to trust; use 8 or more")

    def gate(self, precision: str) -> tuple[float, float]:
        """Least PSNR and largest error that a file of this precision may have."""
        if precision == "fp32":
            return self.min_psnr_fp32, self.max_error_fp32
        return self.min_psnr_fp16, self.max_error_fp16


@dataclass
class BundleContext:
    """What the scene and the run know. World space is the scene's; poses are c2w with OpenGL axes.

    kind: object, forward-facing or unbounded.
    up: world direction that is upwards for the viewer. focus: world point that a viewer circles around.
    near, far: depths along the view axis. background: RGB, 0 to 1, that alpha is to be composited over.
    train: poses that training saw; the bundle's region is what they cover.
    golden, golden_names: held-out poses and a name for each, fit for a file name.
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
    provenance: dict[str, Any] = field(default_factory=dict)


def plan(targets: list[str], precision: str) -> list[tuple[str, str, str]]:
    """(target, precision, bundle name) of every bundle to make. The target's first precision goes without a suffix."""
    bundles = []
    for target in dict.fromkeys(targets):
        check_known("export.targets", target, TARGETS)
        check_known("export.precision", precision, ["auto", *PRECISIONS])
        default = TARGETS[target].auto[0]
        for one in TARGETS[target].auto if precision == "auto" else (precision,):
            bundles.append((target, one, target if one == default else f"{target}-{one}"))
    return bundles


def check_known(key: str, value: str, known: Iterable[str]) -> None:
    """Raise ConfigError, listing what is known, when `value` is not."""
    names = list(known)
    if value not in names:
        raise ConfigError(f"{key}={value} is not known; use one of {', '.join(names)}")
