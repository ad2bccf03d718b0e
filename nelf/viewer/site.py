"""The built web viewer (`make web`), an example bundle, and the site that serves a bundle with them."""

import json
from pathlib import Path
from urllib.parse import unquote

from nelf.core.errors import BundleError, BundleErrorCode, ConfigError

ASSETS = Path(__file__).parent / "assets"
PAGE = "index.html"
EXAMPLE = Path(__file__).parent / "example"
"""A student of the embedded scene in 8 bits, made by `python -m tools.example RUN`."""


def assets_folder() -> Path:
    """Folder of the built viewer. Raises ConfigError if it was not built."""
    if not (ASSETS / PAGE).is_file():
        raise ConfigError("the web viewer is not built: run `make web` in the checkout, then the same command again")
    return ASSETS


def asset_names() -> list[str]:
    """Files of the built viewer, relative to its folder, with forward slashes."""
    folder = assets_folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


MANIFEST = "manifest.json"
VIEWABLE = ("web", "android")
"""Targets whose model a browser can run; the one made for it comes first."""


class Site:
    """A bundle with the viewer. No other file of the disk can be reached."""

    def __init__(self, bundle: Path) -> None:
        """Raises BundleError unless a browser can show `bundle`, ConfigError if the viewer is not built.

        A damaged bundle is accepted: the page reports what is wrong.
        """
        self.bundle = bundle
        self.assets = {name: assets_folder() / name for name in asset_names()}
        if not (bundle / MANIFEST).is_file():
            what = "has no manifest.json, so it is not a bundle" if bundle.is_dir() else "does not exist"
            message = f"{bundle} {what}; give the folder of a run, or a bundle such as RUN/export/web"
            raise BundleError(message, BundleErrorCode.NOT_A_BUNDLE)
        target = self._manifest().get("target", VIEWABLE[0])
        if target not in VIEWABLE:
            raise BundleError(
                f"{bundle} is for {target}, but a browser shows bundles for {' or '.join(VIEWABLE)}; "
                "make one with: nelf export RUN --target web",
                BundleErrorCode.UNSUPPORTED_TARGET,
            )

    def file(self, target: str) -> Path | None:
        """The file for a request's target as sent (`/golden/a%20b.png?x`); None if it does not exist."""
        path, _, _ = target.partition("?")
        if not path.startswith("/"):
            return None
        try:
            parts = [unquote(part, errors="strict") for part in path[1:].split("/")]
        except UnicodeDecodeError:
            return None
        if any("/" in part or "\\" in part or "\0" in part for part in parts):
            return None
        name = "/".join(parts) or PAGE
        return self.assets.get(name) or self._of_bundle(name)

    def _of_bundle(self, name: str) -> Path | None:
        if name != MANIFEST and name not in self._listed():
            return None
        path = (self.bundle / name).resolve()  # a link may lead out
        return path if path.is_relative_to(self.bundle.resolve()) and path.is_file() else None

    def _listed(self) -> set[str]:
        files = self._manifest().get("files")
        entries = files if isinstance(files, list) else []
        return {entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)}

    def _manifest(self) -> dict[str, object]:
        """Read each time, since the bundle may be exported again while it is shown."""
        try:
            content = json.loads((self.bundle / MANIFEST).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}
