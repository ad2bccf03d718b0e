"""The files of a bundle against its manifest."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from nelf.errors import BundleError
from nelf.export.contract import MANIFEST, FileInfo, Manifest
from nelf.storage import sha256


def list_files(folder: Path, model: str) -> list[FileInfo]:
    """Every file of a bundle that is being written, in name order; those of the model path `model` have that role."""
    listed = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            role = "model" if name == model or name.startswith(f"{model}/") else "golden"
            listed.append(FileInfo(name, role, path.stat().st_size, sha256(path)))
    return listed


def safe_path(folder: Path, name: str) -> Path:
    """The file `name` of the bundle `folder`. Raises BundleError for a name that leads out of it."""
    windows = PureWindowsPath(name)
    parts = PurePosixPath(name).parts
    leaves = windows.drive or windows.root or "\\" in name or ".." in parts or not parts or "\0" in name
    if leaves or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{folder / MANIFEST} names the file {name!r}, which is outside the bundle; do not use it")
    return folder / name


def check_files(folder: Path, manifest: Manifest, check_hashes: bool = True) -> None:
    """Raise BundleError, naming the first offender, unless every listed file is there, unchanged, inside `folder`."""
    listed = {file.path for file in manifest.files}
    for name in (*listed, manifest.model.path, manifest.golden):
        safe_path(folder, name)
    for name in (manifest.model.path, manifest.golden):
        if not any(path == name or path.startswith(f"{name}/") for path in listed):
            raise BundleError(f"{folder / MANIFEST} does not list the file {name!r} that it needs; export again")
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise BundleError(f"{path} is missing; the bundle is incomplete, copy or export it again")
        size = path.stat().st_size
        if size != file.bytes:
            raise BundleError(f"{path} has {size} bytes, the manifest says {file.bytes}; copy or export it again")
        if check_hashes and sha256(path) != file.sha256:
            raise BundleError(f"{path} was changed: its SHA-256 is not the manifest's; copy or export it again")
