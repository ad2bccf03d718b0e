"""The built web viewer (`make web`), an example bundle, and the site that serves bundles with them."""

import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from PIL import Image

from nelf.core.errors import BundleError, BundleErrorCode, ConfigError
from nelf.core.files import atomic_path, read_json

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
LISTING = "bundles.json"
BUNDLES = "bundles"
VIEWABLE = ("web", "android")
"""Targets whose model a browser can run; the one made for it comes first."""
PAGE_ROLE = "page"
FOR_SERVERS = ".br"
"""Suffix of files for servers that ask what a browser unpacks (nelf/viewer/packing.py)."""
METRICS = Path("eval") / "metrics.json"
TIMES = "bench.json"
"""In a run's folder: what `nelf bench --json` wrote about its bundles."""


class Site:
    """The viewer with one bundle next to it, or with several below bundles/ID/. No other file can be reached."""

    def __init__(self, *bundles: Path, listed: bool = False) -> None:
        """Raises BundleError unless a browser can show the bundles, ConfigError if the viewer is not built.

        A damaged bundle is accepted: the page reports what is wrong. listed: a single bundle stands below bundles/ too.
        """
        self.assets = {name: assets_folder() / name for name in asset_names()}
        for bundle in bundles:
            _check_viewable(bundle)
        self.alone = bundles[0] if len(bundles) == 1 and not listed else None
        self.bundles = bundle_ids(bundles)
        self.extra: dict[str, bytes] = {}
        """name -> what the server adds."""
        self.more: Callable[[str], bytes | None] = lambda name: None
        """What there is besides, made when it is asked for."""

    def content(self, name: str) -> Path | bytes | None:
        """The file with a name relative to the page, or its bytes; None if nothing has that name."""
        found = self.extra.get(name) or self.assets.get(name)
        if found is not None:
            return found
        if self.alone:
            return _file_of(self.alone, name) or self.more(name)
        if name == LISTING:
            return self._listing()
        first, _, rest = name.partition("/")
        identity, _, inside = rest.partition("/")
        bundle = self.bundles.get(identity) if first == BUNDLES else None
        return (_file_of(bundle, inside) or _picture(bundle, inside)) if bundle else self.more(name)

    def _listing(self) -> bytes:
        """The bundles as they are now. One that was removed, or whose manifest is damaged, is left out."""
        entries = [_entry(identity, bundle) for identity, bundle in self.bundles.items()]
        return json.dumps({"bundles": [entry for entry in entries if entry]}).encode()


def write_site(site: Site, folder: Path) -> None:
    """Write all that any host of files needs to show the site, with relative addresses only.

    Replaces a page that is there. Raises ConfigError for a folder with something else in it, BundleError for a bundle
    that lacks a file or names one outside of it.
    """
    if folder.exists() and not (folder / PAGE).is_file():
        raise ConfigError(f"{folder} exists and has no page in it; remove it, or choose another folder with --out")
    names = [name for name in site.assets if not name.endswith(FOR_SERVERS)] + ([] if site.alone else [LISTING])
    for identity, bundle in site.bundles.items():
        inside = [MANIFEST, *sorted(_listed(bundle, page=False))]
        for name in inside:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise BundleError(f"{bundle} names the file {name}; do not use it", BundleErrorCode.UNSAFE_PATH)
        picture = None if site.alone else _golden(bundle)
        inside += [_as_png(picture)] if picture else []
        names += [name if site.alone else f"{BUNDLES}/{identity}/{name}" for name in inside]
    with atomic_path(folder) as temporary:
        for name in names:
            content = site.content(name)
            if content is None:
                raise BundleError(f"{name} is missing in its bundle; export it again", BundleErrorCode.DAMAGED_FILE)
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content)


def name_of(target: str) -> str | None:
    """The name for a request's target as sent (`/golden/a%20b.png?x`); None if it is the name of no file."""
    path, _, _ = target.partition("?")
    if not path.startswith("/"):
        return None
    try:
        parts = [unquote(part, errors="strict") for part in path[1:].split("/")]
    except UnicodeDecodeError:
        return None
    if any("/" in part or "\\" in part or "\0" in part for part in parts):
        return None
    return "/".join(parts) or PAGE


def bundle_ids(bundles: Iterable[Path]) -> dict[str, Path]:
    """An id for each bundle, fit for a URL: its folder's name, after that of its run. Equal ones get a number."""
    found: dict[str, Path] = {}
    for bundle in bundles:
        run = run_of(bundle)
        name = re.sub(r"[^A-Za-z0-9_]+", "-", f"{run.name}-{bundle.name}" if run else bundle.resolve().name).strip("-")
        numbered = itertools.chain([name or "bundle"], (f"{name or 'bundle'}-{n}" for n in itertools.count(2)))
        found[next(one for one in numbered if one not in found)] = bundle
    return found


def run_of(bundle: Path) -> Path | None:
    """The run that the bundle lies in."""
    folder = bundle.resolve().parent
    return folder.parent if folder.name == "export" else None


def _check_viewable(bundle: Path) -> None:
    if not (bundle / MANIFEST).is_file():
        what = "has no manifest.json, so it is not a bundle" if bundle.is_dir() else "does not exist"
        message = f"{bundle} {what}; give the folder of a run, or a bundle such as RUN/export/web"
        raise BundleError(message, BundleErrorCode.NOT_A_BUNDLE)
    if (target := target_of(bundle)) not in VIEWABLE:
        raise BundleError(
            f"{bundle} is for {target}, but a browser shows bundles for {' or '.join(VIEWABLE)}; "
            "make one with: nelf export RUN --target web",
            BundleErrorCode.UNSUPPORTED_TARGET,
        )


def target_of(bundle: Path) -> Any:
    """The bundle's target. A damaged manifest counts as viewable: the page says what is wrong with it."""
    return _manifest(bundle).get("target", VIEWABLE[0])


def _file_of(bundle: Path, name: str) -> Path | None:
    if name != MANIFEST and name not in _listed(bundle):
        return None
    path = (bundle / name).resolve()  # a link may lead out
    return path if path.is_relative_to(bundle.resolve()) and path.is_file() else None


def _listed(bundle: Path, *, page: bool = True) -> set[str]:
    """Files of the bundle. page: the viewer's too, which an export for the web has next to the bundle's own."""
    files = _manifest(bundle).get("files")
    entries = [one for one in (files if isinstance(files, list) else []) if isinstance(one, dict)]
    return {
        one["path"] for one in entries if isinstance(one.get("path"), str) and (page or one.get("role") != PAGE_ROLE)
    }


def _manifest(bundle: Path) -> dict[str, Any]:
    """Read each time, since the bundle may be exported again while it is shown."""
    try:
        content = json.loads((bundle / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _entry(identity: str, bundle: Path) -> dict[str, Any] | None:
    """What the start page says of a bundle; None if its manifest cannot be read."""
    manifest = _manifest(bundle)
    try:
        needed = [file for file in manifest["files"] if file["role"] == "model" or file["path"] == manifest["golden"]]
        entry = {
            "id": identity,
            "path": f"{BUNDLES}/{identity}/",
            "name": manifest["name"],
            "student": manifest["student"]["name"],
            "target": manifest["target"],
            "precision": manifest["precision"],
            "width": manifest["image"]["width"],
            "height": manifest["image"]["height"],
            "bytes": sum(file["bytes"] for file in needed),
        }
    except (KeyError, TypeError):
        return None
    golden = _golden(bundle)
    milliseconds, device = _timed(bundle) or _exported(manifest)
    return {
        **entry,
        "psnr": _psnr(bundle),
        "milliseconds": milliseconds,
        "device": device,
        "picture": f"{BUNDLES}/{identity}/{_as_png(golden)}" if golden else None,
    }


def _psnr(bundle: Path) -> float | None:
    """Of the run's test views, where it measured the bundle."""
    run = run_of(bundle)
    try:
        return _number(read_json(run / METRICS)[bundle.resolve().name]["psnr"]) if run else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _timed(bundle: Path) -> tuple[float, str] | None:
    """Median milliseconds of a picture and the device, from what a benchmark left in the run's folder."""
    run = run_of(bundle)
    try:
        content = read_json(run / TIMES) if run else {}
        result = next(one for one in content["results"] if Path(one["name"]).name == bundle.resolve().name)
        if "latency" in result:  # of a browser or an app
            device = content["device"]
            return _number(result["latency"]["median"]), str(device.get("platform") or device["model"])
        times = [_number(one["times"]["median_ms"]) for one in result["measurements"]]
        return min(times), str(content["machine"]["processor"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _exported(manifest: dict[str, Any]) -> tuple[float | None, str | None]:
    """What the export measured on its machine."""
    try:
        latency = manifest["latency"]
        return _number(latency["milliseconds"]), f"computer that exported it, {latency['runtime']}"
    except (ValueError, KeyError, TypeError):
        return None, None


def _number(value: Any) -> float:
    """Raises ValueError or TypeError for what JSON cannot hold."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return float(value)


def _golden(bundle: Path) -> str | None:
    """Name of the first golden view's image: raw rows."""
    manifest = _manifest(bundle)
    try:
        listing = _file_of(bundle, manifest["golden"])
        name = read_json(listing)["views"][0]["image"] if listing else None
        return name if isinstance(name, str) and _file_of(bundle, name) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _as_png(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(".png"))


def _picture(bundle: Path, name: str) -> bytes | None:
    """The first golden view's image as PNG, where `name` asks for it."""
    golden = _golden(bundle)
    file = _file_of(bundle, golden) if golden and _as_png(golden) == name else None
    if file is None:
        return None
    image = _manifest(bundle)["image"]
    try:
        mode = "RGBa" if image["channels"] == 4 else "RGB"  # a: colour is multiplied by alpha
        picture = Image.frombytes(mode, (image["width"], image["height"]), file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    written = io.BytesIO()
    picture.convert(mode.upper()).save(written, "PNG")
    return written.getvalue()
