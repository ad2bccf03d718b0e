"""What is measured: a bundle, or a model file by itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nelf.errors import BenchError
from nelf.export import Manifest, graph_macs, open_bundle, read_graph

SUFFIXES = (".tflite", ".onnx", ".mlpackage")


@dataclass(frozen=True)
class Subject:
    """name: short, different from that of every other subject of the run. path: the model file.

    manifest: of the bundle, None for a file by itself. size: of the model, bytes. macs: multiply-accumulates an image.
    """

    name: str
    path: Path
    folder: Path | None
    manifest: Manifest | None
    size: int
    macs: int

    def write_inputs(self, path: Path) -> Path | None:
        """The bundle's golden poses as the worker reads them; None for a file, which gets random numbers."""
        if self.manifest is None or self.folder is None:
            return None
        views = json.loads((self.folder / self.manifest.golden).read_text())["views"]
        poses = np.asarray([view["c2w"] for view in views], dtype=np.float32)
        np.savez(path, allow_pickle=False, **{self.manifest.model.input.name: poses[:, None]})
        return path


def open_subjects(paths: Sequence[Path]) -> list[Subject]:
    """Bundles (checked against their manifests) and model files. Raises BundleError or BenchError, one line."""
    names = [path.resolve().name for path in paths]
    unique = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    if len(set(unique)) < len(unique):
        raise BenchError(f"{next(n for n in unique if unique.count(n) > 1)} is given twice; name each bundle once")
    return [_open(path, name) for path, name in zip(paths, unique, strict=True)]


def _open(path: Path, name: str) -> Subject:
    if path.suffix in SUFFIXES and path.exists():
        return Subject(name, path, None, None, _bytes(path), graph_macs(read_graph(path)))
    bundle = open_bundle(path)
    model = path / bundle.manifest.model.path
    if model.suffix not in SUFFIXES:
        raise BenchError(
            f"{path}: {model.name} is no model file that nelf bench knows; those end in {', '.join(SUFFIXES)}"
        )
    return Subject(name, model, path, bundle.manifest, _bytes(model), graph_macs(read_graph(model)))


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
