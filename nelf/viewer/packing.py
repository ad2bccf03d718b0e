"""How files travel: packed, where that makes them smaller and the browser says that it unpacks them.

Encodings are those of HTTP (RFC 9110, section 8.4.1).
"""

import functools
import re
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nelf.viewer.site import FOR_SERVERS

BROTLI, GZIP = "br", "gzip"
PACKED_ALREADY = (".gz", FOR_SERVERS, ".png", ".jpg")
WASM = "application/wasm"
LEAST_PACKED, MOST_PACKED = 1 << 10, 32 << 20  # bytes
SAMPLE = 1 << 18  # bytes; a file that these promise nothing for is sent as it is
WORTHWHILE = 0.9  # of the bytes, at most
LEVEL = 6  # 9 takes longer and gains 0.1 %
GZIP_WINDOW = 16 + zlib.MAX_WBITS
REMEMBERED = 32  # files
FIXED = re.compile(r"(viewer|litert-[\d.]+)/")
"""Names that hold a digest or a version (also in web_app/public/sw.js): every thread of the page loads some of them."""


@dataclass(frozen=True)
class Transfer:
    """What is sent. encoding: of HTTP; None: as it is. kind: media type, where the name does not say it.

    lasting: no other content will ever have this name.
    """

    content: Path | bytes
    encoding: str | None = None
    kind: str | None = None
    lasting: bool = False


def transfer(name: str, content: Path | bytes, accepted: str) -> Transfer:
    """The shortest form of the file `name` that the browser takes. accepted: its Accept-Encoding."""
    encodings, lasting = _accepted(accepted), FIXED.match(name) is not None
    suffix = PurePosixPath(name).suffix
    if isinstance(content, Path) and BROTLI in encodings and suffix == ".gz":
        shorter = content.with_suffix(FOR_SERVERS)
        if shorter.is_file():
            return Transfer(shorter, BROTLI, WASM, lasting)
    if GZIP in encodings and suffix not in PACKED_ALREADY:
        packed = _packed_file(content, *_version(content)) if isinstance(content, Path) else _packed(content)
        if packed is not None:
            return Transfer(packed, GZIP, lasting=lasting)
    return Transfer(content, lasting=lasting)


def _accepted(header: str) -> set[str]:
    """Encodings in a header such as `gzip, br;q=0.5`; without those of weight 0."""
    found = set()
    for part in header.lower().split(","):
        encoding, *parameters = (piece.strip() for piece in part.split(";"))
        if not any(one.startswith("q=") and one[2:].strip("0.") == "" for one in parameters):
            found.add(encoding)
    return found


def _version(file: Path) -> tuple[int, int]:
    """Changes when the file does: a bundle may be exported again while it is shown."""
    state = file.stat()
    return state.st_mtime_ns, state.st_size


@functools.lru_cache(maxsize=REMEMBERED)
def _packed_file(file: Path, changed: int, size: int) -> bytes | None:
    return _packed(file.read_bytes()) if LEAST_PACKED <= size <= MOST_PACKED else None


def _packed(content: bytes) -> bytes | None:
    """In gzip; None where that is hardly shorter, as for float32 weights."""
    if len(content) < LEAST_PACKED or not _worthwhile(content[:SAMPLE]):
        return None
    packed = _gzip(content)
    return packed if len(packed) <= WORTHWHILE * len(content) else None


def _worthwhile(sample: bytes) -> bool:
    return len(_gzip(sample)) <= WORTHWHILE * len(sample)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=GZIP_WINDOW)
    return packer.compress(content) + packer.flush()
