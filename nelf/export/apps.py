"""The viewer apps in this repository, and the folders from which they bundle models."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nelf.bundle.contents import safe_name
from nelf.bundle.manifest import Manifest, read_manifest
from nelf.core.errors import ConfigError
from nelf.core.files import atomic_path

TENSOR = ("float32", "NHWC")
PICTURE = ("uint8", "CVPixelBuffer")


@dataclass(frozen=True)
class App:
    """A viewer app. marker: a file in its source folder. bundles: folder for its bundles.

    outputs: dtype and layout of the images it can show.
    """

    target: str
    marker: str
    bundles: str
    outputs: tuple[tuple[str, str], ...] = (TENSOR,)

    def shows(self, manifest: Manifest) -> bool:
        """Whether it can show such a bundle; otherwise it refuses it as `unsupported_target`."""
        output = manifest.model.output
        outputs = self.outputs if manifest.program is None else (TENSOR,)
        return manifest.target == self.target and (output.dtype, output.layout) in outputs


APPS: Mapping[str, App] = {
    "ios_app": App("ios", "NelfViewer/NelfViewerApp.swift", "NelfViewer/Bundles", (TENSOR, PICTURE)),
    "android_app": App("android", "app/src/main/AndroidManifest.xml", "app/src/main/assets/bundles"),
}
"""name -> App."""


def app_in(folder: Path) -> App:
    """The app whose source is in `folder`. Raises ConfigError if there is no app."""
    for app in APPS.values():
        if (folder / app.marker).is_file():
            return app
    raise ConfigError(f"{folder} is not a viewer app; give {' or '.join(APPS)} of a checkout of nelf")


def install_in_app(bundles: list[Path], folder: Path) -> list[Path]:
    """Copy the bundles that the app in `folder` can show into it, replacing older ones of the same name.

    A copy is named after its scene, plus the precision if its folder's name has one. Returns the copies. Raises
    ConfigError if the app can show none.
    """
    app = app_in(folder)
    placed = []
    for bundle in bundles:
        manifest = read_manifest(bundle)
        if manifest.target == app.target and not app.shows(manifest):
            output = manifest.model.output
            raise ConfigError(
                f"{bundle}: the app in {folder} cannot show images of {output.dtype} in the layout {output.layout}; "
                f"export it again with: nelf export RUN --target {app.target}"
            )
        if app.shows(manifest):
            suffix = bundle.name.removeprefix(app.target) if bundle.name.startswith(f"{app.target}-") else ""
            to = folder / app.bundles / safe_name(f"{manifest.name}{suffix}")
            with atomic_path(to) as temporary:
                shutil.copytree(bundle, temporary)
            placed.append(to)
    if not placed:
        raise ConfigError(f"{folder} shows bundles for {app.target}, but none was exported; add --target {app.target}")
    return placed
