"""Choose frames of a video: sharp ones, at even changes of the view."""

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from nelf.core.errors import SceneError
from nelf.scene import write_image

REACH = 4  # pixels averaged on each side: the 9-tap filter of the paper
BLURRED = 0.35  # sharpness below which a photo has few features that match


def sharpness(grey: Float[np.ndarray, "height width"]) -> float:
    """In [0, 1], the worse of both directions. A blurred picture loses little when it is blurred again."""
    values = []
    for picture in (grey, grey.T):
        detail = np.abs(np.diff(picture, axis=1))
        lost = np.maximum(detail - np.abs(np.diff(_averaged(picture), axis=1)), 0)
        values.append(float(lost.sum() / max(detail.sum(), 1e-9)))
    return min(values)


def to_grey(image: UInt8[np.ndarray, "height width channels"], longest: int) -> Float[np.ndarray, "h w"]:
    """Brightness in [0, 255], with the longest side reduced to at most `longest`."""
    picture = Image.fromarray(image[..., :3]).convert("L")
    factor = max(1, -(-max(picture.size) // longest))
    return np.asarray(picture.reduce(factor), dtype=np.float32)


def _averaged(picture: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Mean over 2 * REACH + 1 pixels of each row; borders repeat."""
    wide = np.pad(picture.astype(np.float64), ((0, 0), (REACH + 1, REACH)), mode="edge")
    sums = wide.cumsum(axis=1)
    window = 2 * REACH + 1
    return (sums[:, window:] - sums[:, :-window]) / window


BLOCK = 64  # pixels
CLEAR = 0.08  # correlation peak below which a block's motion is unknown
ENOUGH = 6  # blocks with known motion
PARALLAX_WEIGHT = 3.0  # change of view by a pixel of parallax, relative to a pixel of rotation
RENEW = 10.0  # pixels of motion after which the reference frame changes
BLIND = 10  # frames with unknown motion before the view counts as changed


class ViewChange:
    """Adds up the change of view. Frames are compared with an earlier one: rounding would lose slow motion."""

    def __init__(self) -> None:
        self.reference: Float[np.ndarray, "height width"] | None = None
        self.before = 0.0  # change up to the reference
        self.now = 0.0
        self.unknown = 0

    def since_start(self, grey: Float[np.ndarray, "height width"]) -> float:
        """Change from the first frame to this one, relative to the longest side. Never decreases."""
        if self.reference is None:
            self.reference = grey
            return 0.0
        flow = block_motion(self.reference, grey)
        if len(flow) < ENOUGH:
            self.unknown += 1
            if self.unknown >= BLIND:
                self._renew(grey, self.now + RENEW)
            return self.now / max(grey.shape)
        self.unknown = 0
        motion = float(np.median(np.linalg.norm(flow[:, 2:], axis=1)))
        self.now = max(self.now, self.before + motion + PARALLAX_WEIGHT * parallax(flow))
        if motion > RENEW:
            self._renew(grey, self.now)
        return self.now / max(grey.shape)

    def _renew(self, grey: Float[np.ndarray, "height width"], change: float) -> None:
        self.reference, self.before, self.now, self.unknown = grey, change, change, 0


def block_motion(
    first: Float[np.ndarray, "height width"], second: Float[np.ndarray, "height width"], block: int = BLOCK
) -> Float[np.ndarray, "blocks 4"]:
    """Centre (x, y) and motion (x, y) of each block, in pixels; blocks with unclear motion are left out."""
    height, width = first.shape
    size = min(block, height, width)
    rows = np.linspace(0, height - size, max(1, height // size)).astype(int)
    columns = np.linspace(0, width - size, max(1, width // size)).astype(int)
    corners = [(row, column) for row in rows for column in columns]
    window = np.hanning(size)[:, None] * np.hanning(size)

    def spectra(picture: Float[np.ndarray, "height width"]) -> np.ndarray:
        blocks = np.stack([picture[r : r + size, c : c + size] for r, c in corners])
        blocks = blocks - blocks.mean(axis=(1, 2), keepdims=True)
        return np.fft.rfft2(blocks * window)

    cross = spectra(second) * spectra(first).conj()
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-3), s=(size, size))
    flat = peaks.reshape(len(corners), -1)
    best = flat.argmax(axis=1)
    moved = np.stack([best % size, best // size], axis=1).astype(np.float64)
    moved[moved > size / 2] -= size
    centers = np.array([(c + size / 2, r + size / 2) for r, c in corners])
    return np.concatenate([centers, moved], axis=1)[flat.max(axis=1) > CLEAR]


def parallax(flow: Float[np.ndarray, "blocks 4"]) -> float:
    """Median length, in pixels, of the motion that the best affine map does not explain."""
    at = np.concatenate([flow[:, :2], np.ones((len(flow), 1))], axis=1)
    coefficients = np.linalg.lstsq(at, flow[:, 2:], rcond=None)[0]
    return float(np.median(np.linalg.norm(flow[:, 2:] - at @ coefficients, axis=1)))


SMALL = 480  # longest side at which frames are judged
STEP = 0.05  # change of view between chosen frames, relative to the longest side
CENTRAL = 0.6  # middle share of a segment in which its frame is sought first: keeps frames evenly apart
AS_SHARP = 0.85  # of the sharpest frame in the segment; otherwise the whole segment is searched
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,h264,hevc,gif,flv,ogg,asf,dv"


@dataclass(frozen=True)
class Judged:
    """change: [n] change of view since the first frame, relative to the longest side. sharpness: [n]."""

    change: Float[np.ndarray, "n"]
    sharpness: Float[np.ndarray, "n"]


def judge(path: Path, progress: Callable[[float], None] = lambda share: None) -> Judged:
    """Judge every frame once, at reduced size. progress: called with the share of the video seen."""
    changes, values, motion = [], [], ViewChange()
    with _frames(path, SMALL, "pgm") as frames:
        expected = max(1.0, _count(path))
        for frame in frames:
            grey = frame[..., 0].astype(np.float32)
            changes.append(motion.since_start(grey))
            values.append(sharpness(grey))
            progress(min(1.0, len(values) / expected))
    if not values:
        raise SceneError(f"video {path} cannot be read by ffmpeg; record it again, or convert it to MP4 (H.264)")
    return Judged(np.array(changes), np.array(values))


def choose(judged: Judged, most: int) -> list[int]:
    """At most `most` frames at equal changes of view, the sharpest of each segment; one where the view stands still."""
    total = float(judged.change[-1])
    count = max(1, min(most, 1 + int(total / STEP)))
    stretch = total / count
    chosen = []
    for i in range(count):
        middle = (i + 0.5) * stretch
        whole = np.flatnonzero(np.abs(judged.change - middle) <= 0.5 * stretch + 1e-12)
        if not len(whole):  # the view changed by more than a segment within one frame
            continue
        best = int(whole[judged.sharpness[whole].argmax()])
        central = whole[np.abs(judged.change[whole] - middle) <= 0.5 * CENTRAL * stretch]
        if len(central):
            nearer = int(central[judged.sharpness[central].argmax()])
            best = nearer if judged.sharpness[nearer] > AS_SHARP * judged.sharpness[best] else best
        chosen.append(best)
    return sorted(set(chosen))


def extract(
    path: Path, chosen: list[int], folder: Path, longest: int, progress: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """Write the chosen frames, at most `longest` pixels long, except those that exist."""
    files = [folder / f"frame_{number:06d}.png" for number in chosen]
    if all(file.is_file() for file in files):
        return files
    wanted = dict(zip(chosen, files, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    with _frames(path, longest, "ppm") as frames:
        for number, frame in enumerate(frames):
            if number in wanted:
                write_image(wanted[number], frame)
                progress(1 + chosen.index(number))
            if number >= chosen[-1]:
                break
    if not files[-1].is_file():
        raise SceneError(f"video {path} changed while it was read, or is damaged; run the same command again")
    return files


@contextlib.contextmanager
def _frames(path: Path, longest: int, codec: str) -> Iterator[Iterator[UInt8[np.ndarray, "height width channels"]]]:
    """Yield the frames in ffmpeg's `codec` (pgm: grey, ppm: RGB). ffmpeg ends with the block."""
    if not path.is_file():
        raise SceneError(f"video {path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video file")
    fit = f"scale='min({longest},iw)':'min({longest},ih)':force_original_aspect_ratio=decrease:force_divisible_by=2"
    output = ["-map", "0:v:0", "-vf", fit, "-f", "image2pipe", "-c:v", codec, "-"]
    with subprocess.Popen(
        [*_ffmpeg(path), *output], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            yield _pictures(process.stdout)
        finally:
            process.kill()


def _ffmpeg(path: Path) -> list[str]:
    # A playlist disguised as a video must not make ffmpeg open other files or addresses: allow only camera formats.
    reading = ["-protocol_whitelist", "file", "-format_whitelist", FORMATS]
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "info", "-nostdin", *reading, "-i", f"file:{path.resolve()}"]


def _pictures(stream: IO[bytes]) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
    """Netpbm pictures (P5, P6) up to the end of the stream or the first incomplete one."""
    while kind := stream.readline().strip():
        width, height = map(int, stream.readline().split())
        stream.readline()  # the largest value, 255
        channels = {b"P5": 1, b"P6": 3}[kind]
        content = stream.read(width * height * channels)
        if len(content) < width * height * channels:
            return
        yield np.frombuffer(content, np.uint8).reshape(height, width, channels)


def _count(path: Path) -> float:
    """Approximate number of frames, from the video's header; 0 if it does not say."""
    said = subprocess.run(_ffmpeg(path), stdin=subprocess.DEVNULL, capture_output=True, check=False).stderr.decode(
        errors="replace"
    )
    length, rate = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said), re.search(r"([\d.]+) fps", said)
    if not length or not rate:
        return 0.0
    hours, minutes, seconds = (float(part) for part in length.groups())
    return (3600 * hours + 60 * minutes + seconds) * float(rate[1])
