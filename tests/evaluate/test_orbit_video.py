"""The file decodes to the given frames."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from nelf.core.errors import NelfError
from nelf.evaluate import orbit_video, write_video


def frames(count: int, height: int, width: int) -> list[torch.Tensor]:
    """A white bar that moves to the right over a coloured slope."""
    slope = torch.linspace(40, 200, height).to(torch.uint8)[:, None, None].expand(height, width, 3).clone()
    slope[..., 0] = 200
    result = []
    for i in range(count):
        frame = slope.clone()
        frame[:, 4 * i : 4 * i + 8] = 255
        result.append(frame)
    return result


def ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *arguments], capture_output=True, check=True)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63)])
def test_decodes_to_the_same_pictures(tmp_path: Path, height: int, width: int) -> None:
    given = frames(12, height, width)
    write_video(tmp_path / "a.mp4", iter(given), 10)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert (count, seconds) == (12, pytest.approx(1.2, abs=0.05))
    pixels = ffmpeg("-i", str(tmp_path / "a.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    decoded = np.frombuffer(pixels, np.uint8).reshape(12, height + height % 2, width + width % 2, 3)
    error = np.abs(decoded[:, :height, :width].astype(int) - torch.stack(given).numpy().astype(int))
    assert np.median(error) <= 3  # colours as given: the BT.709 tags are right
    assert error.mean() < 5  # 4:2:0 blurs the colour at the bar's edges
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_is_h264_yuv420p(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames(2, 16, 16), 10)
    said = ffmpeg("-i", str(tmp_path / "a.mp4"), "-f", "null", "-").stderr.decode()
    assert "Video: h264" in said
    assert "yuv420p(tv, bt709" in said


def test_a_failure_says_what_ffmpeg_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orbit_video, "QUALITY", "nonsense")
    with pytest.raises(NelfError, match=r"could not write .*a\.mp4"):
        write_video(tmp_path / "a.mp4", frames(3, 16, 16), 10)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_renderer_leaves_nothing(tmp_path: Path) -> None:
    def failing():
        yield from frames(2, 16, 16)
        raise KeyError("model")

    with pytest.raises(KeyError):
        write_video(tmp_path / "a.mp4", failing(), 10)
    assert list(tmp_path.iterdir()) == []
