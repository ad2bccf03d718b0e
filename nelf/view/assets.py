"""What lies beside this file: the web viewer, as `make web` builds it, and a finished bundle to look at."""

from pathlib import Path

from nelf.errors import ConfigError

ASSETS = Path(__file__).parent / "assets"
PAGE = "index.html"
EXAMPLE = Path(__file__).parent / "example"
"""A student of the embedded scene in 8 bits, as `python -m tools.example RUN` makes it."""


def assets_folder() -> Path:
    """Where the built viewer is. Raises ConfigError where it was not built."""
    if not (ASSETS / PAGE).is_file():
        raise ConfigError("the web viewer is not built: run `make web` in the checkout, then the same command again")
    return ASSETS


def asset_names() -> list[str]:
    """Files of the built viewer, relative to its folder, with forward slashes."""
    folder = assets_folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
