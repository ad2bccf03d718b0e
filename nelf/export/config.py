"""Settings of exports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, Range, check, setting

DEPLOYMENTS = ("16", "17", "18")


@dataclass(frozen=True)
class Choice:
    """What you may ask of one target. `nelf.export.targets` implements it; a test compares the two.

    precisions: all that it supports. auto: those that `auto` means, the default first. default: whether it is made if
    you name no target. image_output: whether the output can be an image of the system. tiles: precisions of programs.
    """

    precisions: tuple[str, ...]
    auto: tuple[str, ...]
    default: bool = True
    image_output: bool = False
    tiles: tuple[str, ...] = ()


CHOICES: Mapping[str, Choice] = {
    "ios": Choice(("fp32", "fp16", "w8", "w6", "w4"), ("fp16",), image_output=True, tiles=("fp32", "fp16")),
    "android": Choice(("fp32", "fp16", "int8", "int8-dynamic"), ("fp32", "fp16"), tiles=("fp32", "fp16")),
    "onnx": Choice(("fp32", "fp16"), ("fp32",), tiles=("fp32", "fp16")),
    "web": Choice(("fp32", "fp16"), ("fp32",), default=False, tiles=("fp32", "fp16")),
    "coreai": Choice(("fp32", "fp16"), ("fp16",), default=False),
}
"""target -> Choice."""


@dataclass
class ExportConfig:
    """Settings of a run's bundles."""

    targets: list[str] = setting([name for name, choice in CHOICES.items() if choice.default], OneOf(CHOICES))
    """Platforms: ios (Core ML), android (LiteRT), onnx; only if named: web (a folder to host), coreai."""
    precision: str = setting("auto", OneOf(["auto", *dict.fromkeys(p for c in CHOICES.values() for p in c.precisions)]))
    """A precision that every target supports (docs/export.md has the table), or auto: fp16 for ios and coreai, fp32 and
    fp16 for android, fp32 for onnx and web."""
    image_output: bool = False
    """ios: whether the model returns a CVPixelBuffer instead of a float32 tensor."""
    tiles: bool = False
    """ios, android, onnx, web: whether the bundle renders in tiles and leaves out empty ones (docs/tiles.md)."""
    tiles_psnr: float = setting(50.0, Range(30, 100), unit="dB")
    """PSNR in dB that leaving out blocks may leave, against the whole network, in nine of ten views."""
    min_psnr_tiles: float = setting(35.0, Range(0, 100), unit="dB")
    """The same, for every golden view; below it the bundle is refused."""
    golden_views: int = setting(8, Range(8, 1024))
    """Held-out poses on which each bundle is executed, and whose images it contains; at least 8."""
    ios_deployment: str = setting("16", OneOf(DEPLOYMENTS))
    """Oldest iOS version that must run the package: 16, 17 or 18."""
    min_psnr_fp32: float = setting(60.0, Range(0, 200), unit="dB")
    """PSNR in dB that an fp32 file must reach against PyTorch on every golden view."""
    min_psnr_fp16: float = setting(45.0, Range(0, 200), unit="dB")
    """The same for fp16."""
    max_error_fp32: float = setting(0.01, Range(0, 1))
    """Largest difference from PyTorch, in images from 0 to 1, that an fp32 file may have."""
    max_error_fp16: float = setting(0.25, Range(0, 1))
    """The same for fp16."""
    min_psnr_quantized: float = setting(25.0, Range(0, 200), unit="dB")
    """The same for all other precisions; below it, something is broken. max_drop_db limits their loss."""
    max_drop_db: float = setting(0.5, Range(0, 100), unit="dB")
    """PSNR in dB, against photos, that a file may lose compared with PyTorch."""
    force: bool = False
    """Whether to keep a file that loses more; its manifest records it."""
    calibration_views: int = setting(8, Range(8, 1024))
    """Training views on which int8 finds the ranges of activations, and the layers that need more than integers."""
    calibration_drop_db: float = setting(0.1, Range(0, 100), unit="dB")
    """PSNR in dB that 8 bits may lose on these views before one more layer gets float activations or stays float."""

    def __post_init__(self) -> None:
        check(self, "export")
        for target in self.targets:
            check_form(target, self.precision)
        if self.image_output and not any(CHOICES[target].image_output for target in self.targets):
            able = ", ".join(name for name, choice in CHOICES.items() if choice.image_output)
            raise ConfigError(f"export.image_output=true has no effect on {', '.join(self.targets)}; it is for {able}")

        if self.tiles:
            self._check_tiles()

    def _check_tiles(self) -> None:
        if self.image_output:
            raise ConfigError(
                "export.tiles=true pastes tensors, and export.image_output=true asks for a picture; use one"
            )
        able = ", ".join(name for name, choice in CHOICES.items() if choice.tiles)
        for target in self.targets:
            if not CHOICES[target].tiles:
                raise ConfigError(f"export.tiles=true has no program for {target}; name targets of {able}")
            if self.precision not in ("auto", *CHOICES[target].tiles):
                known = ", ".join(CHOICES[target].tiles)
                raise ConfigError(f"export.tiles=true has no form in {self.precision}; use one of {known}")

    def limits(self, gate: str) -> tuple[float, float]:
        """Least PSNR and largest error of a file against PyTorch. gate: value of a `targets.Tolerance`."""
        return {
            "fp32": (self.min_psnr_fp32, self.max_error_fp32),
            "fp16": (self.min_psnr_fp16, self.max_error_fp16),
            "drop": (self.min_psnr_quantized, 1.0),
        }[gate]


def plan(
    targets: list[str], precision: str, image_output: bool = False, tiles: bool = False
) -> list[tuple[str, str, str]]:
    """(target, precision, bundle name) of every bundle to make. A target's first precision has no suffix."""
    bundles = []
    for target in dict.fromkeys(targets):
        check_form(target, precision)
        default = CHOICES[target].auto[0]
        for one in CHOICES[target].auto if precision == "auto" else (precision,):
            picture = "-image" if image_output and CHOICES[target].image_output else "-tiles" if tiles else ""
            bundles.append((target, one, (target if one == default else f"{target}-{one}") + picture))
    return bundles


def check_form(target: str, precision: str) -> None:
    """Raise ConfigError for an unknown target, or an unknown precision of it. The message lists the known ones."""
    check_known("export.targets", target, CHOICES)
    check_known("export.precision", precision, ["auto", *CHOICES[target].precisions], f" for the target {target}")


def check_known(key: str, value: str, known: Iterable[str], where: str = "") -> None:
    """Raise ConfigError, listing known values, if `value` is not one."""
    names = list(known)
    if value not in names:
        raise ConfigError(f"{key}={value} is not known{where}; use one of {', '.join(names)}")
