"""The manifest of a bundle: the contract between Python, Swift, Kotlin and JavaScript, as pydantic models.

`make schema` writes manifest.schema.json from these classes. World space is the scene's. Cameras have OpenGL axes (x
right, y up, looking along -z). c2w is camera to world, 3x4, row by row. Angles are in degrees.
"""

import collections
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from nelf.bundle.fields import (
    Colour,
    Count,
    NotNegative,
    Part,
    Pixels,
    Positive,
    Text,
    Vector,
    check_unit,
    first_line,
)
from nelf.bundle.region import BoxRegion, OrbitRegion
from nelf.bundle.tiles import TileProgram, check_cover
from nelf.core.errors import BundleError, BundleErrorCode
from nelf.core.files import write_json

FORMAT: Literal["nelf-bundle"] = "nelf-bundle"
VERSION = "2.0"
"""Of a bundle with one model file."""
PROGRAM_VERSION = "3.0"
"""Of a bundle with a program, which readers of 2.x must refuse: they would look for one model file."""
MAJORS = ("2", "3")
MANIFEST = "manifest.json"
MOST_BYTES = 4 << 20  # of a manifest: 200 times what one has
AGAIN = "export again with: nelf export RUN"

Role = Literal["model", "golden", "page"]
Rung = Literal["static", "dynamic", "float"]


class ImageInfo(Part):
    """The picture that the model gives, and what is behind it."""

    width: Pixels
    height: Pixels
    channels: Literal[3, 4]
    alpha: Literal["premultiplied", "none"]
    """premultiplied: the fourth channel is alpha, and colour is already multiplied by it."""
    background: Colour
    """RGB that the image was trained over, or is meant to be shown over."""
    composited_over: Colour | None = None
    """RGB that the model itself has put an image with alpha over; then channels is 3 and alpha none."""

    @model_validator(mode="after")
    def _alpha_is_a_channel(self) -> "ImageInfo":
        if self.alpha != ("premultiplied" if self.channels == 4 else "none"):
            raise ValueError(f"alpha is {self.alpha} with {self.channels} channels")
        return self


class CameraInfo(Part):
    """The camera that the model was made for."""

    axes: Literal["opengl"]
    intrinsics: tuple[Positive, Positive, float, float]
    """fx, fy, cx, cy in pixels, pixel centres at +0.5; fixed in the model."""
    near: Positive
    far: Positive
    up: Vector
    """World direction that is upwards for the viewer, unit length."""
    focus: Vector
    """World point to circle around."""

    @model_validator(mode="after")
    def _ranges_and_directions(self) -> "CameraInfo":
        check_unit("up", self.up)
        if self.near >= self.far:
            raise ValueError(f"near {self.near} is not below far {self.far}")
        return self


class PoseInfo(Part):
    """The model's input: c2w."""

    name: Text
    shape: tuple[Literal[1], Literal[3], Literal[4]]
    dtype: Literal["float32"]
    layout: str


class PictureInfo(Part):
    """The model's output. float32, layout NHWC: a tensor, 0 to 1. uint8, layout CVPixelBuffer: a picture of Apple's
    systems, 32BGRA, whose alpha says nothing."""

    name: Text
    shape: list[Count]
    """1, height, width, channels."""
    dtype: Literal["float32", "uint8"]
    layout: str


class ModelInfo(Part):
    """The model file, its input and its output."""

    path: Text
    """The model file, or for Core ML the package folder, relative to the bundle. With a program: its parts' folder."""
    input: PoseInfo
    output: PictureInfo
    bytes: Count | None = None
    """Of all files of the model."""
    varying: dict[str, str] | None = None
    """Files whose bytes differ from one export of the same checkpoint to the next, and why. Absent: none."""


class FileInfo(Part):
    """A file of the bundle. All but the manifest are listed."""

    path: Text
    """Relative to the bundle, with forward slashes."""
    role: Role
    """page: of the viewer that lies around a bundle for web."""
    bytes: Annotated[int, Field(ge=0, le=2**53 - 1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class NotRun(Part):
    """A measurement that was not made, and why."""

    status: Literal["not_run"]
    reason: Text


class Parity(Part):
    """The file on disk, executed, against PyTorch on the golden poses; PSNR in dB with peak 1, at most 150.

    A uint8 output is compared with PyTorch's image rounded to 8 bits.
    """

    status: Literal["passed"]
    compared_with: Literal["pytorch"]
    runtime: Text
    views: Annotated[int, Field(ge=8)]
    psnr_min: float
    psnr_mean: float
    max_abs: NotNegative
    required_psnr: float
    """What `nelf verify` asks for too; of quantised files a little less than was measured."""
    allowed_max_abs: NotNegative


class Quality(Part):
    """The file on disk against photos: mean over views of the PSNR of 8-bit RGB over the background, in dB."""

    status: Literal["measured"]
    photos: Literal["test", "training"] | None = None
    """test: of the golden views. training: of calibration views, where no golden view has a photo."""
    views: Count
    psnr: float
    pytorch_psnr: float
    drop_db: float
    """pytorch_psnr less psnr."""
    allowed_drop_db: NotNegative
    forced: bool
    """It lost more than is allowed, and was kept because export.force=true said so."""


class QualityNotRun(NotRun):
    """No photo says what the file loses."""

    forced: bool | None = None
    """It was kept all the same because export.force=true said so."""


class Latency(Part):
    """Of one image on the machine that exported, not on a phone: the median of `runs`."""

    status: Literal["measured"]
    milliseconds: Positive
    runs: Count
    threads: Count
    runtime: Text


class GroupSensitivity(Part):
    """One layer, or a few that follow each other, with all others in float: what quantising it alone does."""

    name: Text
    psnr: float
    """Against the model in float, in dB, on the first rung of the file's precision."""
    drop_db: float
    """PSNR lost against the photos of the calibration views, on the same rung."""
    rung: Rung
    """What it is in the file. static: weights and activations are integers. dynamic: weights are."""


class Quantization(Part):
    """How a quantised file was made."""

    method: Text
    calibration_views: Annotated[int, Field(ge=0)]
    drop_db: float | None = None
    """PSNR lost on the calibration views, where that was measured."""
    groups: list[GroupSensitivity]

    def rungs(self) -> str:
        """How many groups are what, best first: "17 static, 2 dynamic". Empty without groups."""
        counts = collections.Counter(group.rung for group in self.groups)
        return ", ".join(f"{counts[rung]} {rung}" for rung in ("static", "dynamic", "float") if counts[rung])


class StudentInfo(Part):
    """The network before its export."""

    name: Text
    parameters: Count
    macs: Count
    """Multiply-accumulates of the convolutions for one image."""


class Provenance(Part):
    """Where the weights come from."""

    model_config = ConfigDict(extra="allow")

    checkpoint: str | None = None
    """SHA-256 of the student's file."""
    config: dict[str, Any] | None = None
    """What the run was configured with."""
    versions: dict[str, str]
    """Of every package that has a hand in the file."""


class Manifest(Part):
    """What a viewer must know, and how to check that nothing is damaged. Readers ignore keys that they do not know."""

    name: Text
    """Of the scene."""
    scene_type: Literal["object", "forward-facing", "unbounded"]
    """Where the cameras stand: around an object, in front of a scene, or anywhere."""
    target: Text
    """Platform that the model file is for: `ios`, `android`, `onnx`, `web`, `coreai`."""
    precision: Text
    """Of the weights: `fp32`, `fp16`, `int8`, `int8-dynamic`, `w8`, `w6`, `w4`. The input is always float32."""
    image: ImageInfo
    camera: CameraInfo
    region: Annotated[OrbitRegion | BoxRegion, Field(discriminator="type")]
    """Poses that training covered; keep the camera inside."""
    model: ModelInfo
    files: Annotated[list[FileInfo], Field(min_length=1)]
    golden: Text
    """Path of the JSON file with the golden views, `views`. Each has a name, c2w (3 rows of 4), and the path of an
    image: raw rows of uint8, round(255 x) of the model's output."""
    parity: Annotated[Parity | NotRun, Field(discriminator="status")]
    student: StudentInfo
    quality: Annotated[Quality | QualityNotRun, Field(discriminator="status")] | None = None
    latency: Annotated[Latency | NotRun, Field(discriminator="status")] | None = None
    quantization: Quantization | None = None
    program: TileProgram | None = None
    experimental: bool | None = None
    """true: the converter or the platform is a beta."""
    deployment: dict[str, str]
    """Lowest version by system, for example ios: 16."""
    provenance: Provenance
    format: Literal["nelf-bundle"]
    """What tells a bundle from other folders."""
    version: Annotated[str, Field(pattern=rf"^[{''.join(MAJORS)}]\.[0-9]+$")]
    """A later minor version may add keys. A program needs 3.x."""

    @model_validator(mode="after")
    def _shapes_agree(self) -> "Manifest":
        expected = [1, self.image.height, self.image.width, self.image.channels]
        if self.model.output.shape != expected:
            raise ValueError(f"model.output.shape is {self.model.output.shape}, not {expected}")
        if self.program is not None:
            check_cover(self.program, self.image.height, self.image.width)
            if self.version.startswith(VERSION[:2]):
                raise ValueError(f"version is {self.version}, and a program needs {PROGRAM_VERSION}")
        return self

    @property
    def needed(self) -> list[str]:
        """Paths that must be listed: of the model, of a program's parts, of the golden views."""
        parts = self.program.parts if self.program is not None else ()
        return [self.model.path, *parts, self.golden]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into the bundle `folder`."""
    write_json(folder / MANIFEST, manifest.model_dump(mode="json", exclude_none=True))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle `folder`. Raises BundleError, one line, for anything but a valid one.

    The files themselves: `check_files`.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_BYTES:
            message = f"{path} has more than {MOST_BYTES} bytes; give a bundle that nelf export wrote"
            raise BundleError(message, BundleErrorCode.INVALID_MANIFEST)
        text = path.read_bytes()
        _check_version(path, from_json(text, allow_inf_nan=False))
        return Manifest.model_validate_json(text)
    except (FileNotFoundError, NotADirectoryError):
        what = "has no manifest.json, so it is not a bundle" if folder.is_dir() else "does not exist"
        what = "is a file, and a bundle is a folder" if folder.is_file() else what
        message = f"{folder} {what}; give the folder that nelf export wrote"
        raise BundleError(message, BundleErrorCode.NOT_A_BUNDLE) from None
    except ValidationError as error:
        message = f"{path}: {first_line(error)}; {AGAIN}"
        raise BundleError(message, BundleErrorCode.INVALID_MANIFEST) from error
    except (OSError, ValueError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        message = f"{path} cannot be read ({error}); {AGAIN}"
        raise BundleError(message, BundleErrorCode.INVALID_MANIFEST) from error


def _check_version(path: Path, content: Any) -> None:
    # Before everything else, since another major version has other keys.
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        message = f"{path} is not the manifest of a {FORMAT}; give the folder that nelf export wrote"
        raise BundleError(message, BundleErrorCode.NOT_A_BUNDLE)
    version = content.get("version")
    if isinstance(version, str) and version.split(".")[0] not in MAJORS:
        message = f"{path} has format version {version[:20]!r}, this nelf reads {' and '.join(MAJORS)}; {AGAIN}"
        raise BundleError(message, BundleErrorCode.UNSUPPORTED_VERSION)
