"""The files of a bundle against its manifest."""

from pathlib import Path

from nelf.errors import BundleError
from nelf.export.contract import MANIFEST, FileInfo, Manifest
from nelf.export.refusal import Refusal
from nelf.storage import sha256

GOLDEN = "golden"
"""Folder of the golden views."""
FORBIDDEN = "\\:%\x7f"
"""Characters of no name: they separate folders, name drives or streams, or are read anew in a URL."""


def list_files(folder: Path, model: str) -> list[FileInfo]:
    """Every file of a bundle that is being written, in name order. Those of the model path `model` and of GOLDEN have
    these roles; whatever else is there belongs to the page."""
    listed = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            roles = {model: "model", GOLDEN: "golden"}
            role = next((role for top, role in roles.items() if name == top or name.startswith(f"{top}/")), "page")
            listed.append(FileInfo(name, role, path.stat().st_size, sha256(path)))
    return listed


def safe_path(folder: Path, name: str) -> Path:
    """The file `name` of the bundle `folder`. Raises BundleError for a name that leads out of it, here or elsewhere:
    a name must mean the same file on every system and in a URL."""
    plain = all(part not in ("", ".", "..") for part in name.split("/"))
    plain = plain and not any(character in FORBIDDEN or character < " " for character in name)
    try:
        (folder / name).is_file()
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # names longer than the file system allows, links that go round
        inside = False
    if not plain or not inside:
        raise BundleError(
            f"{folder / MANIFEST} names the file {name!r}, which is or could be outside the bundle; do not use it",
            Refusal.PATH_OUTSIDE,
        )
    return folder / name


def safe_name(name: str) -> str:
    """`name` as the name of one file of a bundle."""
    return "".join("_" if character in FORBIDDEN + "/" or character < " " else character for character in name)


def check_files(folder: Path, manifest: Manifest, check_hashes: bool = True) -> None:
    """Raise BundleError, naming the first offender, unless every listed file is there, unchanged, inside `folder`."""
    listed = [file.path for file in manifest.files]
    for name in (*listed, manifest.model.path, manifest.golden):
        safe_path(folder, name)
    for name in listed:
        if listed.count(name) > 1:
            message = f"{folder / MANIFEST} lists the file {name!r} twice; export again"
            raise BundleError(message, Refusal.FILE_TWICE)
    for name in (manifest.model.path, manifest.golden):
        if not any(path == name or path.startswith(f"{name}/") for path in listed):
            message = f"{folder / MANIFEST} does not list the file {name!r} that it needs; export again"
            raise BundleError(message, Refusal.FILE_UNLISTED)
    for file in manifest.files:
        _check_file(folder / file.path, file, check_hashes)


def _check_file(path: Path, file: FileInfo, check_hash: bool) -> None:
    if not path.is_file():
        message = f"{path} is missing; the bundle is incomplete, copy or export it again"
        raise BundleError(message, Refusal.FILE_MISSING)
    size = path.stat().st_size
    if size != file.bytes:
        message = f"{path} has {size} bytes, the manifest says {file.bytes}; copy or export it again"
        raise BundleError(message, Refusal.FILE_SIZE)
    if check_hash and sha256(path) != file.sha256:
        message = f"{path} was changed: its SHA-256 is not the manifest's; copy or export it again"
        raise BundleError(message, Refusal.FILE_CHANGED)
