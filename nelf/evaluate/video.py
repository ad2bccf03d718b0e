"""MP4 files (H.264, yuv420p: what browsers and phones play) through the ffmpeg that imageio-ffmpeg ships.

ffmpeg is started here and not by `imageio_ffmpeg.write_frames`, which does not look at its exit status: with a full
disk that leaves a video cut short.
"""

import contextlib
import io
import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from nelf.errors import NelfError, StorageError
from nelf.storage import atomic_path

QUALITY = "18"  # x264's constant rate factor; 18 is visually lossless
# RGB is converted by BT.709 and the file says so; untagged, players guess from the picture's size
COLOURS = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-color_range", "tv"]
COLOURS += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]


def write_video(path: Path, frames: Iterable[UInt8[Tensor, "height width 3"]], fps: int) -> None:
    """Write 8-bit frames of one size to `path` (.mp4), atomically. Odd sizes are padded to even ones by their edge."""
    frames = iter(frames)
    first = _pad_to_even(next(frames))
    with atomic_path(path) as temporary:
        process = _start_ffmpeg(temporary, first.shape[0], first.shape[1], fps)
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # ffmpeg has given up; its exit status and words come below
                process.stdin.write(first.numpy().tobytes())
                for frame in frames:
                    even = _pad_to_even(frame)
                    assert even.shape == first.shape, f"frames of {first.shape} and {even.shape} in one video"
                    process.stdin.write(even.numpy().tobytes())
            _, said = process.communicate()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        if process.returncode != 0:
            words = said.decode(errors="replace").strip()
            if "No space left" in words:
                raise StorageError(f"disk full while writing {path}; free some space and run the same command again")
            raise NelfError(f"ffmpeg could not write {path}: {words or f'exit status {process.returncode}'}")


def first_frame(path: Path) -> UInt8[Tensor, "height width 3"]:
    """The first frame of a video that `write_video` wrote."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", f"file:{path.resolve()}"]
    command += ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        with Image.open(io.BytesIO(result.stdout)) as image:
            return torch.from_numpy(np.array(image.convert("RGB")))
    except (OSError, ValueError) as error:
        raise NelfError(f"{path} cannot be read; remove it and run `nelf eval` again") from error


def _start_ffmpeg(path: Path, height: int, width: int, fps: int) -> subprocess.Popen[bytes]:
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    codec = ["-c:v", "libx264", "-crf", QUALITY, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    return subprocess.Popen(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *source, *COLOURS, *codec, str(path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _pad_to_even(frame: UInt8[Tensor, "height width 3"]) -> UInt8[Tensor, "even_height even_width 3"]:
    height, width, _ = frame.shape
    rows = torch.arange(height + height % 2).clamp_max(height - 1)
    columns = torch.arange(width + width % 2).clamp_max(width - 1)
    return frame[rows][:, columns].contiguous()
