"""Frames of a video: the right ones, complete, and none from a file that is not a video."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageFilter

from nelf.capture import PhotosConfig, Video
from nelf.capture.video import choose, extract, judge
from nelf.core.errors import SceneError
from tests.capture.room import poses, render

pytestmark = pytest.mark.slow

FRAMES = 40
SHAKEN = (7, 8, 20, 21, 22, 33)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arc through the room with six blurred frames, then the last frame for a while."""
    folder = tmp_path_factory.mktemp("walk")
    for i, pose in enumerate(poses(FRAMES)):
        frame = Image.fromarray(render(pose))
        if i in SHAKEN:
            frame = frame.filter(ImageFilter.GaussianBlur(4))
        frame.save(folder / f"{i:03d}.png")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-framerate", "20", "-i", str(folder / "%03d.png")]
    still = ["-vf", "tpad=stop_mode=clone:stop_duration=1", "-pix_fmt", "yuv420p", "-crf", "15"]
    subprocess.run([*command, *still, str(folder / "walk.mp4")], check=True)
    return folder / "walk.mp4"


def test_frames_of_a_walk(walk: Path, tmp_path: Path) -> None:
    judged = judge(walk)
    assert len(judged.change) == FRAMES + 20
    assert (np.diff(judged.change) >= 0).all()
    assert judged.change[FRAMES - 1] > 0.3
    assert judged.change[-1] - judged.change[FRAMES] < 0.02  # standing still changes nothing
    assert judged.sharpness[list(SHAKEN)].max() < 0.7 * np.median(judged.sharpness)
    chosen = choose(judged, 10)
    assert len(chosen) >= 8
    assert not set(chosen) & set(SHAKEN)
    files = extract(walk, chosen, tmp_path / "frames", 1000)
    known = poses(FRAMES)
    for number, file in zip(chosen, files, strict=True):
        with Image.open(file) as image:
            frame = np.asarray(image).astype(float)
        assert np.abs(frame - render(known[min(number, FRAMES - 1)])).mean() < 6  # this one, not its neighbour
    before = {file: file.stat().st_mtime_ns for file in files}
    assert extract(walk, chosen, tmp_path / "frames", 1000) == files
    assert {file: file.stat().st_mtime_ns for file in files} == before


def test_frames_are_reduced(walk: Path, tmp_path: Path) -> None:
    (file,) = extract(walk, [3], tmp_path, 160)
    with Image.open(file) as image:
        assert image.size == (160, 120)


def test_the_photos_of_a_video(walk: Path, tmp_path: Path) -> None:
    source = Video(walk, "walk")
    raw = source.photos(tmp_path, PhotosConfig(frames=5), lambda: None)
    assert len(raw.photos) == 5
    assert source.ordered
    assert set(source.digest()) == {"video"}


def test_what_is_no_video(tmp_path: Path) -> None:
    text, still = tmp_path / "walk.mp4", tmp_path / "still.mp4"
    text.write_text("not a video")
    with pytest.raises(SceneError, match=r"walk\.mp4 cannot be read by ffmpeg; record it again, or convert it"):
        judge(text)
    with pytest.raises(SceneError, match="does not exist"):
        Video(tmp_path / "nowhere.mp4", "x").digest()
    with pytest.raises(SceneError, match="is a folder; for photos: nelf data import photos"):
        Video(tmp_path, "x").digest()
    source = ["-f", "lavfi", "-i", "color=gray:size=64x48:rate=10:duration=1", str(still)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source], check=True)
    with pytest.raises(SceneError, match="its view hardly changes: only 1 different frames were found"):
        Video(still, "still").photos(tmp_path, PhotosConfig(), lambda: None)


def test_a_playlist_opens_no_other_file(walk: Path, tmp_path: Path) -> None:
    """ffmpeg would follow the files in a concatenation script; a stranger's video must not make it."""
    (tmp_path / "trap.mp4").write_text(f"ffconcat version 1.0\nfile '{walk}'\n")
    with pytest.raises(SceneError, match="cannot be read by ffmpeg"):
        judge(tmp_path / "trap.mp4")
