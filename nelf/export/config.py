"""What a user may say about exports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, Range, check, setting

DEPLOYMENTS = ("16", "17", "18")


@dataclass(frozen=True)
class Choice:
    """What a user may ask of one target. `nelf.export.targets` has how it is made; a test holds the two together.

    precisions: all that it knows. auto: those that `auto` means, the usual one first. usual: whether it is made when no
    target is named. image_output: whether the output can be a picture of the system's.
    """

    precisions: tuple[str, ...]
    auto: tuple[str, ...]
    usual: bool = True
    image_output: bool = False


CHOICES: Mapping[str, Choice] = {
    "ios": Choice(("fp32", "fp16", "w8", "w6", "w4"), ("fp16",), image_output=True),
    "android": Choice(("fp32", "fp16", "int8", "int8-dynamic"), ("fp32", "fp16")),
    "onnx": Choice(("fp32", "fp16"), ("fp32",)),
    "web": Choice(("fp32", "fp16"), ("fp32",), usual=False),
    "coreai": Choice(("fp32", "fp16"), ("fp16",), usual=False),
}
"""target -> Choice."""


@dataclass
class ExportConfig:
    """Bundles of one run."""

    targets: list[str] = setting([name for name, choice in CHOICES.items() if choice.usual], OneOf(CHOICES))
    """Platforms: ios (Core ML), android (LiteRT), onnx; made when named: web (a folder to be hosted), coreai."""
    precision: str = setting("auto", OneOf(["auto", *dict.fromkeys(p for c in CHOICES.values() for p in c.precisions)]))
    """One that every target knows (README has the table), or auto: fp16 for ios and coreai, fp32 and fp16 for android,
    fp32 for onnx and web."""
    image_output: bool = False
    """ios: whether the model gives a CVPixelBuffer instead of a float32 tensor."""
    golden_views: int = setting(8, Range(8, 1024))
    """Held-out poses that each bundle is executed on and carries the images of; at least 8."""
    ios_deployment: str = setting("16", OneOf(DEPLOYMENTS))
    """Lowest iOS version that must run the package: 16, 17 or 18."""
    min_psnr_fp32: float = setting(60.0, Range(0, 200), unit="dB")
    """dB that an fp32 file must reach against PyTorch on every golden view."""
    min_psnr_fp16: float = setting(45.0, Range(0, 200), unit="dB")
    """The same for fp16."""
    max_error_fp32: float = setting(0.01, Range(0, 1))
    """Largest difference from PyTorch (of 1) that any value of an fp32 file's image may have."""
    max_error_fp16: float = setting(0.25, Range(0, 1))
    """The same for fp16."""
    min_psnr_quantized: float = setting(25.0, Range(0, 200), unit="dB")
    """The same for all others: below, something is broken. What they may lose is max_drop_db."""
    max_drop_db: float = setting(0.5, Range(0, 100), unit="dB")
    """dB of PSNR against the photos of golden views that any file may lose beside PyTorch."""
    force: bool = False
    """Whether a file that loses more is kept all the same; its manifest says so."""
    calibration_views: int = setting(8, Range(8, 1024))
    """Training views on which int8 finds the ranges of activations and the layers that need more than integers."""
    calibration_drop_db: float = setting(0.1, Range(0, 100), unit="dB")
    """dB of PSNR that these views may lose in 8 bits before one more layer gets float activations or stays float."""

    def __post_init__(self) -> None:
        check(self, "export")
        for target in self.targets:
            check_form(target, self.precision)
        if self.image_output and not any(CHOICES[target].image_output for target in self.targets):
            able = ", ".join(name for name, choice in CHOICES.items() if choice.image_output)
            raise ConfigError(f"export.image_output=true is of no use to {', '.join(self.targets)}; it is for {able}")

    def limits(self, gate: str) -> tuple[float, float]:
        """Least PSNR and largest error against PyTorch that a file may have. gate: value of a `targets.Gate`."""
        return {
            "fp32": (self.min_psnr_fp32, self.max_error_fp32),
            "fp16": (self.min_psnr_fp16, self.max_error_fp16),
            "drop": (self.min_psnr_quantized, 1.0),
        }[gate]


def plan(targets: list[str], precision: str, image_output: bool = False) -> list[tuple[str, str, str]]:
    """(target, precision, bundle name) of every bundle to make. The target's first precision goes without a suffix."""
    bundles = []
    for target in dict.fromkeys(targets):
        check_form(target, precision)
        default = CHOICES[target].auto[0]
        for one in CHOICES[target].auto if precision == "auto" else (precision,):
            picture = "-image" if image_output and CHOICES[target].image_output else ""
            bundles.append((target, one, (target if one == default else f"{target}-{one}") + picture))
    return bundles


def check_form(target: str, precision: str) -> None:
    """Raise ConfigError, listing what is known, when there is no such target, or no such precision of it."""
    check_known("export.targets", target, CHOICES)
    check_known("export.precision", precision, ["auto", *CHOICES[target].precisions], f" for the target {target}")


def check_known(key: str, value: str, known: Iterable[str], where: str = "") -> None:
    """Raise ConfigError, listing what is known, when `value` is not."""
    names = list(known)
    if value not in names:
        raise ConfigError(f"{key}={value} is not known{where}; use one of {', '.join(names)}")
