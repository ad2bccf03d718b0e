"""A bundle on disk, opened: its manifest, its model executed on this machine, and how far that is from PyTorch."""

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.bundle.contents import check_files, golden_entries, read_golden, safe_path
from nelf.bundle.manifest import MANIFEST, Manifest, read_manifest
from nelf.bundle.tiles import Picture, TileModel, TileProgram
from nelf.core.errors import BundleError, BundleErrorCode, ConfigError, ExportError, NelfError, one_line
from nelf.core.files import atomic_path
from nelf.core.images import premultiplied_over, psnr_of, to_uint8
from nelf.runtime import INPUT, OUTPUT, RUNTIMES, Runtime, RuntimeModel


def render(model: RuntimeModel, c2w: Float[Tensor, "3 4"]) -> Float[Tensor, "height width channels"]:
    """The image that a loaded model gives for a pose. Raises ExportError where it cannot be executed."""
    pose = c2w.detach().cpu().float().contiguous()[None]
    with _executing():
        return torch.from_numpy(model.run({INPUT: pose.numpy()})[OUTPUT])[0]


@contextmanager
def _executing() -> Iterator[None]:
    """Raises ExportError where a model cannot be executed."""
    try:
        yield
    except NelfError:
        raise
    except Exception as error:  # whatever a runtime raises on a file that it could load
        reason = one_line(error)
        raise ExportError(f"the model cannot be executed ({reason})") from error


class Bundle:
    """An opened bundle. The model is loaded at the first image."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @functools.cached_property
    def runtime(self) -> Runtime:
        """What executes the model file here."""
        program = self.manifest.program
        return _runtime_of(self.folder, self.manifest.model.path if program is None else program.first)

    @functools.cached_property
    def model(self) -> RuntimeModel:
        """The model file in its runtime, or the parts of a program, on as many threads as torch uses."""
        runtime, threads = self.runtime, torch.get_num_threads()
        try:
            if self.manifest.program is not None:
                return load_program(self.folder, self.manifest, threads)
            return runtime.open(safe_path(self.folder, self.manifest.model.path), threads)
        except ExportError as error:
            raise BundleError(f"{self.folder}: {error}", BundleErrorCode.DAMAGED_FILE) from error

    def render(
        self, c2w: Float[Tensor, "3 4"], model: RuntimeModel | None = None
    ) -> Float[Tensor, "height width channels"]:
        """The image that the model file gives for a pose; RGBA has colour premultiplied.

        model: one to call instead, such as a program that leaves nothing out.
        """
        model, expected = model or self.model, tuple(self.manifest.model.output.shape[1:])
        try:
            image = render(model, c2w)
        except ExportError as error:
            message = f"{self.folder}: {error}; export it again"
            raise BundleError(message, BundleErrorCode.DAMAGED_FILE) from error
        if tuple(image.shape) != expected or image.dtype is not torch.float32:
            found = f"{image.dtype} {tuple(image.shape)}"
            message = f"{self.folder}: the model gives {found}, the manifest says float32 {expected}; export it again"
            raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
        return image

    def still(self, c2w: Sequence[Sequence[float]], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """A picture over the background, every block of a program decoded. c2w: 3 rows of 4 numbers.

        Raises ConfigError for a size that the bundle cannot render.
        """
        model, image = self.model, self.manifest.image
        if isinstance(model, TileModel):
            try:
                del self.model  # it loads its first part anew after that
                with _executing():
                    return model.still(np.asarray([c2w], np.float32), height, width, image.background, last=True)
            except ExportError as error:
                message = f"{self.folder}: {error}; export it again"
                raise BundleError(message, BundleErrorCode.DAMAGED_FILE) from error
        if (height, width) != (image.height, image.width):
            raise ConfigError(
                f"{self.folder} renders {image.width} x {image.height} pixels and no other size; "
                "export it in tiles with: nelf export RUN --tiles"
            )
        shown = premultiplied_over(self.render(torch.tensor(c2w)), torch.tensor(image.background))
        return to_uint8(shown).numpy()

    def write_still(self, path: Path, view: str | None = None, size: tuple[int, int] | None = None) -> None:
        """Write a picture of a golden view, by default the first, as a PNG file. size: width and height in pixels.

        Raises ConfigError for a view or a size that the bundle lacks.
        """
        from PIL import Image

        entries = {entry.name: entry for entry in golden_entries(self.folder, self.manifest)}
        name = view or next(iter(entries))
        if name not in entries:
            raise ConfigError(f"{name} is not a golden view of {self.folder}; use one of {', '.join(entries)}")
        width, height = size or (self.manifest.image.width, self.manifest.image.height)
        picture = self.still(entries[name].c2w, height, width)
        with atomic_path(path) as temporary:
            Image.fromarray(picture).save(temporary, "PNG")


def _runtime_of(folder: Path, name: str) -> Runtime:
    """What executes the model file `name` of the bundle `folder`. A program is no file of another one."""
    suffix, known = Path(name).suffix, [suffix for suffix in RUNTIMES if suffix != Path(MANIFEST).suffix]
    if suffix not in known:
        raise BundleError(
            f"{folder} has a model file of the type {suffix!r}, this nelf can execute {', '.join(known)}; "
            "verify it with the nelf that made it",
            BundleErrorCode.UNSUPPORTED_TARGET,
        )
    return RUNTIMES[suffix]


def _load_part(folder: Path, program: TileProgram, number: int, threads: int) -> RuntimeModel:
    name, expected = program.parts[number], program.inputs[number]
    part = _runtime_of(folder, name).open(safe_path(folder, name), threads)
    if (taken := [{key: shape for key, (shape, _) in one.items()} for one in part.signatures]) != expected:
        message = f"{folder / name} takes {taken}, the program gives {expected}; export it again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
    return part


def load_program(folder: Path, manifest: Manifest, threads: int) -> TileModel:
    """The parts of the program in `manifest`. Raises BundleError for a part that does not take what it is given."""
    program, image = manifest.program, manifest.image
    assert program is not None
    first, decoder = (_load_part(folder, program, number, threads) for number in range(len(program.parts)))
    picture = Picture(image.height, image.width, manifest.camera.intrinsics)
    return TileModel(program, picture, image.channels, first, decoder)


def open_model(path: Path, threads: int) -> TileModel:
    """The program of the bundle with the manifest `path`; see `nelf.runtime.table`."""
    manifest = read_manifest(path.parent)
    if path.name != MANIFEST or manifest.program is None:
        raise ExportError(f"{path} is not the manifest of a bundle with a program")
    return load_program(path.parent, manifest, threads)


def open_bundle(folder: Path, check_hashes: bool = True) -> Bundle:
    """Open the bundle `folder`. Raises BundleError, one line, when anything in it is missing, damaged or unsafe."""
    manifest = read_manifest(folder)
    check_files(folder, manifest, check_hashes)
    return Bundle(folder, manifest)


ROUNDING = 0.5 / 255
"""Largest error of a value stored in 8 bits."""
EXACT = 150.0
"""PSNR reported for images that agree bit for bit, or nearly: JSON has no infinity."""


@dataclass(frozen=True)
class Difference:
    """Of two images of one view, over all channels, with 1 as the peak."""

    view: str
    psnr: float
    max_abs: float


def compare(
    view: str, image: Float[Tensor, "height width channels"], reference: Float[Tensor, "height width channels"]
) -> Difference:
    """PSNR and largest error. Values that are no numbers count as the worst possible."""
    error = torch.nan_to_num((image.double() - reference.double()).abs(), nan=1.0, posinf=1.0)
    return Difference(view, psnr_of(float(error.square().mean()), EXACT), float(error.max()))


def with_rounding(psnr: float, max_abs: float) -> tuple[float, float]:
    """The limits that hold against an 8-bit copy of the reference when `psnr` and `max_abs` hold against itself.

    Rounding moves each value by at most `ROUNDING`. By the triangle inequality, root mean square error and largest
    error grow by no more than that. So a file that passed at export cannot fail here because of the copy.
    """
    return -20 * math.log10(10 ** (-psnr / 20) + ROUNDING), max_abs + ROUNDING


def failure(differences: list[Difference], psnr: float, max_abs: float) -> str | None:
    """Why the views fail the limits, naming the worst; None when they do not."""
    worst = min(differences, key=lambda d: d.psnr)
    if worst.psnr < psnr:
        return f"view {worst.view}: {worst.psnr:.1f} dB, at least {psnr:.1f} dB are needed"
    worst = max(differences, key=lambda d: d.max_abs)
    if worst.max_abs > max_abs:
        return f"view {worst.view}: largest error {worst.max_abs:.4f}, at most {max_abs:.4f} is allowed"
    return None


@dataclass(frozen=True)
class Verification:
    """Result of executing a bundle on its golden views.

    reason: why it failed, None when it passed. Limits are the export's, widened by the golden images' rounding.
    chosen: of a program, with blocks left out; `differences` are of every block decoded.
    """

    runtime: str
    differences: list[Difference]
    required_psnr: float
    allowed_max_abs: float
    reason: str | None
    chosen: list[Difference] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.reason is None

    @property
    def summary(self) -> str:
        """What came out and what was asked for: the worst of the views."""
        psnr, error = min(d.psnr for d in self.differences), max(d.max_abs for d in self.differences)
        return (
            f"{len(self.differences)} views, {psnr:.1f} dB or more (asked for: {self.required_psnr:.1f} dB), "
            f"largest error {error:.4f} (allowed: {self.allowed_max_abs:.4f})"
            + (f"; {min(d.psnr for d in self.chosen):.1f} dB or more with blocks left out" if self.chosen else "")
        )


def verify_bundle(folder: Path) -> Verification:
    """Check every byte of a bundle, execute it, and compare with its golden views."""
    bundle = open_bundle(folder)
    parity = bundle.manifest.parity
    if parity.status == "not_run":
        message = f"{folder} was exported without limits to verify it by ({parity.reason}); export it again"
        raise BundleError(message, BundleErrorCode.UNSUPPORTED_TARGET)
    psnr, max_abs = with_rounding(parity.required_psnr, parity.allowed_max_abs)
    views, model, chosen = read_golden(folder, bundle.manifest), bundle.model, list[Difference]()
    if isinstance(model, TileModel):
        chosen = [compare(view.name, bundle.render(view.c2w), view.image) for view in views]
        model = model.everywhere()
    differences = [compare(view.name, bundle.render(view.c2w, model), view.image) for view in views]
    reason = failure(differences, psnr, max_abs)
    if chosen and reason is None:
        assert bundle.manifest.program is not None
        reason = failure(chosen, with_rounding(bundle.manifest.program.required_psnr, 1.0)[0], 1.0)
        reason = reason and f"with blocks left out, {reason}"
    return Verification(bundle.runtime.name, differences, psnr, max_abs, reason, chosen)
