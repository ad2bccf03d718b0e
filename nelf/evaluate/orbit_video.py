"""A video along an orbit or through the captured views."""

import contextlib
import io
import math
import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from nelf.core.cameras import look_at
from nelf.core.errors import NelfError, StorageError
from nelf.core.files import atomic_path
from nelf.scene.scene import SceneType

FULL_TURN_GAP = math.radians(100)  # the path does not cross a wider gap between azimuths of neighbouring cameras
STEEPEST = math.radians(80)  # elevation of an object's orbit; near the pole, `up` hardly determines the image
FACING_EXTENT = 0.7  # of the largest ellipse inside the hull of forward-facing cameras
SMOOTHING = math.radians(15)  # standard deviation in azimuth for averaging an unbounded scene's cameras


def orbit_poses(
    kind: SceneType, c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], up: Float[Tensor, "3"], frames: int
) -> Float[Tensor, "frames 3 4"]:
    """A closed path of `frames` poses (world space) for a scene with training cameras `c2w`.

    center: what the cameras look at. up: unit length.
    """
    path = {
        SceneType.OBJECT: _around_object,
        SceneType.FORWARD_FACING: _before_scene,
        SceneType.UNBOUNDED: _between_cameras,
    }[kind]
    return path(c2w, center, up, frames)


def _around_object(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """A turn around the `up` axis through `center`, at the cameras' mean distance and elevation."""
    offset = c2w[:, :, 3] - center
    azimuth, height, _ = _cylindrical(offset, up)
    distance = offset.norm(dim=-1)
    elevation = float(torch.asin((height / distance).clamp(-1, 1)).mean().clamp(-STEEPEST, STEEPEST))
    turned = _turn(azimuth, frames)
    direction = math.cos(elevation) * _horizontal(turned, up) + math.sin(elevation) * up
    return look_at(center + distance.mean() * direction, center.expand_as(direction), up)


def _before_scene(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """An ellipse in the plane of the cameras, inside their convex hull; all frames look at one point."""
    mean = c2w[:, :, 3].mean(0)
    forward = torch.nn.functional.normalize(-c2w[:, :, 2].mean(0), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    upwards = torch.linalg.cross(right, forward)
    offset = c2w[:, :, 3] - mean
    plane = torch.stack([offset @ right, offset @ upwards], dim=-1)
    half = plane.abs().amax(0)
    # The ellipse is inside the hull if its extent does not exceed the hull's in any direction.
    angle = torch.arange(360) * (2 * math.pi / 360)
    look = torch.stack([angle.cos(), angle.sin()], dim=-1)
    reach_of_hull = (look @ plane.T).amax(-1)
    reach_of_ellipse = (look * half).norm(dim=-1).clamp_min(1e-12)
    half = half * FACING_EXTENT * float((reach_of_hull / reach_of_ellipse).amin().clamp(0, 1))
    turn = torch.arange(frames)[:, None] * (2 * math.pi / max(frames, 1))
    eye = mean + half[0] * turn.cos() * right + half[1] * turn.sin() * upwards
    ahead = (center - mean) @ forward
    focus = mean + forward * (ahead if ahead > 0 else 1.0)
    return look_at(eye, focus.expand_as(eye), up)


def _between_cameras(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """A path ordered by the cameras' view direction; each frame averages the cameras that look the same way.

    Ordering by direction instead of position works for cameras around a thing and for cameras that look out of a room.
    """
    view = -torch.nn.functional.normalize(c2w[:, :, 2], dim=-1)
    azimuth, _, _ = _cylindrical(view, up)
    turned = _turn(azimuth, frames)
    apart = torch.remainder(turned[:, None] - azimuth + math.pi, 2 * math.pi) - math.pi
    weight = torch.softmax(-0.5 * (apart / SMOOTHING).square(), dim=-1)  # positive even if the nearest is far
    # Average positions in cylindrical coordinates around the centre: the plain mean of a ring's points lies inside it.
    place, height, radius = _cylindrical(c2w[:, :, 3] - center, up)
    around = weight @ _horizontal(place, up)
    outwards = torch.nn.functional.normalize(around, dim=-1) * (weight @ radius)[:, None]
    inside = around.norm(dim=-1, keepdim=True) < 0.7  # positions on different sides: use the plain mean
    eye = center + torch.where(inside, weight @ (_horizontal(place, up) * radius[:, None]), outwards)
    eye = eye + (weight @ height)[:, None] * up
    return look_at(eye, eye + weight @ view, up)


def _turn(azimuth: Tensor, frames: int) -> Tensor:
    """[frames] azimuths: once around, or to and fro over the covered arc if cameras leave a wide gap."""
    phase = torch.arange(frames) * (2 * math.pi / max(frames, 1))
    around = azimuth.remainder(2 * math.pi).sort().values
    gaps = torch.diff(around, append=around[:1] + 2 * math.pi)
    widest = int(gaps.argmax())
    if gaps[widest] <= FULL_TURN_GAP:
        return azimuth[0] + phase
    arc = 2 * math.pi - gaps[widest]
    start = around[(widest + 1) % len(around)]
    return start + arc * (0.5 + 0.5 * phase.sin())


def _cylindrical(vectors: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Azimuth, height and radius, each [n], of vectors [n, 3] around the `up` axis."""
    first, second = _basis(up)
    x, y = vectors @ first, vectors @ second
    return torch.atan2(y, x), vectors @ up, torch.hypot(x, y)


def _horizontal(azimuth: Tensor, up: Tensor) -> Tensor:
    """Unit vectors [n, 3] of the given azimuths."""
    first, second = _basis(up)
    return azimuth.cos()[:, None] * first + azimuth.sin()[:, None] * second


def _basis(up: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors that make a right-handed frame with `up`."""
    least = torch.eye(3)[int(up.abs().argmin())]
    first = torch.nn.functional.normalize(least - (least @ up) * up, dim=0)
    return first, torch.linalg.cross(up, first)


QUALITY = "18"  # x264's constant rate factor; 18 is visually lossless
# RGB is converted by BT.709 and the file says so; without tags, players guess from the picture's size
COLOURS = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-color_range", "tv"]
COLOURS += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]


def write_video(path: Path, frames: Iterable[UInt8[Tensor, "height width 3"]], fps: int) -> None:
    """Write 8-bit frames of one size to `path` (.mp4), atomically. Odd sizes are padded by repeating the edge."""
    frames = iter(frames)
    first = _pad_to_even(next(frames))
    with atomic_path(path) as temporary:
        process = _start_ffmpeg(temporary, first.shape[0], first.shape[1], fps)
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # ffmpeg has given up; its message is read below
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
