"""A bundle on disk, opened: its manifest, and its model executed by the target's runtime on this machine."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.errors import BundleError, ExportError, NelfError, one_line
from nelf.export.contents import check_files, read_golden, safe_path
from nelf.export.contract import Manifest, read_manifest
from nelf.export.parity import Difference, compare, failure, with_rounding
from nelf.export.targets import TARGETS
from nelf.runtime.session import Session


class Bundle:
    """An opened bundle. The model is loaded at the first image."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @functools.cached_property
    def session(self) -> Session:
        """The model file in its runtime."""
        target = TARGETS.get(self.manifest.target)
        if target is None:
            raise BundleError(
                f"{self.folder} is for the target {self.manifest.target}, "
                f"this nelf can execute {', '.join(TARGETS)}; verify it with the nelf that made it"
            )
        try:
            return target.load(safe_path(self.folder, self.manifest.model.path))
        except ExportError as error:
            raise BundleError(f"{self.folder}: {error}") from error

    def render(self, c2w: Float[Tensor, "3 4"]) -> Float[Tensor, "height width channels"]:
        """The image that the model file gives for a pose; RGBA has colour premultiplied."""
        try:
            image = self.session.render(c2w.detach().cpu().float().contiguous()[None])
        except NelfError:
            raise
        except Exception as error:  # whatever a runtime raises on a file that it could load
            reason = one_line(error)
            raise BundleError(f"{self.folder}: the model cannot be executed ({reason}); export it again") from error
        expected = tuple(self.manifest.model.output.shape)
        if tuple(image.shape) != expected or image.dtype is not torch.float32:
            raise BundleError(
                f"{self.folder}: the model gives {image.dtype} {tuple(image.shape)}, "
                f"the manifest says float32 {expected}; export it again"
            )
        return image[0]


def open_bundle(folder: Path, check_hashes: bool = True) -> Bundle:
    """Open the bundle `folder`. Raises BundleError, one line, when anything in it is missing, damaged or unsafe."""
    manifest = read_manifest(folder)
    check_files(folder, manifest, check_hashes)
    return Bundle(folder, manifest)


@dataclass(frozen=True)
class Verification:
    """Result of executing a bundle on its golden views.

    reason: why it failed, None when it passed. Limits are the export's, widened by the golden images' rounding.
    """

    runtime: str
    differences: list[Difference]
    required_psnr: float
    allowed_max_abs: float
    reason: str | None

    @property
    def passed(self) -> bool:
        return self.reason is None

    @property
    def summary(self) -> str:
        """What came out and what was asked for: the worst of the views."""
        psnr, error = min(d.psnr for d in self.differences), max(d.max_abs for d in self.differences)
        return (
            f"{len(self.differences)} views, {psnr:.1f} dB or more (asked for: {self.required_psnr:.1f} dB), "
            f"largest error {error:.4f} (allowed: {self.allowed_max_abs:.4f})"
        )


def verify_bundle(folder: Path) -> Verification:
    """Check every byte of a bundle, execute it, and compare with its golden views."""
    bundle = open_bundle(folder)
    parity = bundle.manifest.parity
    if parity.required_psnr is None or parity.allowed_max_abs is None:
        raise BundleError(f"{folder} was exported without limits to verify it by ({parity.reason}); export it again")
    psnr, max_abs = with_rounding(parity.required_psnr, parity.allowed_max_abs)
    image = bundle.manifest.image
    views = read_golden(folder, bundle.manifest.golden, (image.height, image.width, image.channels))
    differences = [compare(view.name, bundle.render(view.c2w), view.image) for view in views]
    return Verification(bundle.session.runtime, differences, psnr, max_abs, failure(differences, psnr, max_abs))
