"""The built web viewer: what `make web` puts beside this file."""

from pathlib import Path

from nelf.errors import ConfigError

ASSETS = Path(__file__).parent / "assets"
PAGE = "index.html"


def assets_folder() -> Path:
    """Where the built viewer is. Raises ConfigError where it was not built."""
    if not (ASSETS / PAGE).is_file():
        raise ConfigError("the web viewer is not built: run `make web` in the checkout, then the same command again")
    return ASSETS


def asset_names() -> list[str]:
    """Files of the built viewer, relative to its folder, with forward slashes."""
    folder = assets_folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
