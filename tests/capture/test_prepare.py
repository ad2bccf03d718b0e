"""One camera, orientation and size from the content of a phone's folder; EXIF."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from nelf.capture.photos import list_photos, mask_path, picture_path
from nelf.capture.prepare import Prepared, prepare
from nelf.core.errors import SceneError

SIZE = (64, 48)


def save(
    folder: Path,
    name: str,
    *,
    orientation: int = 1,
    in_35mm: int | None = 26,
    size: tuple[int, int] = SIZE,
    model: str = "",
    seconds: float | None = None,
) -> Path:
    """A photo that is stored red on the left, blue on the right, and speckled."""
    width, height = size
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    pixels[:, : width // 2, 0] += 180
    pixels[:, width // 2 :, 2] += 180
    image = Image.fromarray(pixels.astype(np.uint8))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    if in_35mm:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = in_35mm
    if model:
        exif[ExifTags.Base.Model] = model
    if seconds:
        taken = {ExifTags.Base.ExposureTime: seconds, ExifTags.Base.FNumber: 2.0, ExifTags.Base.ISOSpeedRatings: 100}
        exif.get_ifd(ExifTags.IFD.Exif).update(taken)
    image.save(folder / name, exif=exif, quality=95)
    return folder / name


def prepared(folder: Path, tmp_path: Path, longest: int = 1000, skip_others: bool = False) -> Prepared:
    return prepare(list_photos(folder), tmp_path / "working", longest, skip_others=skip_others)


def picture(tmp_path: Path, number: int) -> np.ndarray:
    return np.asarray(Image.open(picture_path(tmp_path / "working", number))).astype(int)


@pytest.mark.parametrize(("orientation", "red"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")])
def test_photos_are_turned_as_most_of_them_say(tmp_path: Path, orientation: int, red: str) -> None:
    photos = tmp_path / "photos"
    for i in range(3):
        save(photos, f"{i}.jpg", orientation=orientation)
    save(photos, "3.jpg", orientation=8 if orientation == 1 else 1)
    found = prepared(photos, tmp_path)
    assert [photo.upright for photo in found.photos] == [True, True, True, False]
    assert found.size == (SIZE if red in ("top", "bottom") else SIZE[::-1])
    for i in range(4):  # the odd one is turned as the others: it stays a picture of the same camera
        half = picture(tmp_path, i)
        side = {"left": half[:, :20], "right": half[:, -20:], "top": half[:20], "bottom": half[-20:]}[red]
        assert side[..., 0].mean() > 150 > 60 > side[..., 2].mean()


def test_reduced_photos_and_their_focal_length(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "photos", f"{i}.jpg")
    found = prepared(tmp_path / "photos", tmp_path, longest=32)
    assert found.size == (24, 32)
    assert found.focal == pytest.approx(26 / 36 * 32)
    assert found.problems == []


def test_photos_of_another_size_or_focal_length_are_left_out(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i in range(4):
        save(photos, f"{i}.jpg")
    save(photos, "crop.jpg", size=(40, 40))
    save(photos, "tele.jpg", in_35mm=77)
    save(photos, "other.jpg", model="Camera B")
    save(photos, "silent.jpg", in_35mm=None)
    for i in range(2):
        save(photos, f"known{i}.jpg", model="Camera A")
    found = prepared(photos, tmp_path, skip_others=True)
    assert [photo.name for photo in found.photos] == ["0", "1", "2", "3", "known0", "known1", "silent"]
    assert [str(problem) for problem in found.problems] == [
        "1 photo (crop.jpg) is 40x40 pixels and most are 64x48: frames of a video, crops, turned, or of another "
        "camera; they are left out",
        "1 photo (other.jpg) is of another camera (Camera B) than most (Camera A); they are left out",
        "1 photo (tele.jpg) is of another focal length: do not zoom; they are left out",
    ]
    for i in range(2):
        (photos / f"{i}.jpg").unlink()
    for name in ("silent", "other", "known0", "known1"):
        (photos / f"{name}.jpg").unlink()
    with pytest.raises(SceneError, match=r"only 2 of 4 photos have one size and focal length; take at least 3"):
        prepared(photos, tmp_path, skip_others=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": (32, 18)}, "1 photo (odd.jpg) is 32x18 pixels and most are 64x48: frames of a video"),
        (
            {"size": SIZE[::-1]},
            "1 photo (odd.jpg) is 48x64 pixels and most are 64x48: frames of a video, crops, turned",
        ),
        ({"in_35mm": 77}, "1 photo (odd.jpg) is of another focal length: do not zoom"),
        ({"model": "Camera B"}, "1 photo (odd.jpg) is of another camera (Camera B) than most (Camera A)"),
    ],
)
def test_a_photo_unlike_the_others_is_refused(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    photos = tmp_path / "photos"
    for i in range(4):
        save(photos, f"{i}.jpg", model="Camera A")
    save(photos, "odd.jpg", **{"model": "Camera A", **options})
    with pytest.raises(SceneError) as caught:
        prepared(photos, tmp_path)
    assert f"photos 'photos': {expected}" in str(caught.value)
    assert str(caught.value).endswith("; remove them, or pass photos.skip_others=true to leave them out")
    assert not (tmp_path / "working").exists()


def test_an_exposure_that_changes_is_told(tmp_path: Path) -> None:
    for i, seconds in enumerate((0.01, 0.012, 0.008)):
        save(tmp_path / "photos", f"{i}.jpg", seconds=seconds)
    assert prepared(tmp_path / "photos", tmp_path).problems == []
    save(tmp_path / "photos", "dark.jpg", seconds=0.002)
    (problem,) = prepared(tmp_path / "photos", tmp_path).problems
    assert str(problem).startswith(
        "the camera changed its exposure by 2.6 stops, from 1.jpg to dark.jpg; lock exposure"
    )


def test_masks(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i in range(3):
        save(photos, f"{i}.jpg", orientation=6)
    half = np.zeros(SIZE[::-1], dtype=np.uint8)
    half[:, :32] = 255  # of the photo as stored
    (photos / "masks").mkdir()
    Image.fromarray(half).save(photos / "masks/0.png")
    Image.fromarray(half).save(photos / "masks/1.jpg.png")
    found = prepared(photos, tmp_path)
    assert "1 of 3 photos have no mask and count as opaque" in str(found.problems[-1])
    first = picture(tmp_path, 0)
    assert first.shape == (64, 48, 4)
    assert (first[:32, :, 3] == 255).all()
    assert (first[32:, :, 3] == 0).all()
    where = np.asarray(Image.open(mask_path(tmp_path / "working", 0)))[..., 0]
    assert where[10, 20] == 255
    assert where[30, 20] == 0  # too near to the outline for a feature
    assert (picture(tmp_path, 2)[..., 3] == 255).all()
    Image.new("L", (48, 64)).save(photos / "masks/2.png")
    with pytest.raises(SceneError, match="48x64, another aspect ratio than its photo"):
        prepare(list_photos(photos), tmp_path / "other", 1000)


def test_exif_that_is_damaged_says_nothing(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for i in range(3):
        path = save(photos, f"{i}.jpg")
        content = path.read_bytes()
        at = content.index(b"Exif") + 20
        path.write_bytes(content[:at] + b"\xff" * 30 + content[at + 30 :])
    found = prepared(photos, tmp_path)
    assert found.focal is None
    assert len(found.photos) == 3
