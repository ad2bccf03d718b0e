"""From photos by a lens that distorts to a teacher: poses, lens and pictures are known, and must be found."""

from pathlib import Path

import pytest
import torch

from benchmarks.captures import compare
from nelf.evaluate import ground_truth, psnr, to_8bit
from nelf.scene import SceneConfig, load_scene
from nelf.teacher import load_teacher, render_image
from tests.capture.room import FOCAL, make_photos, two_rows
from tests.pipeline.commands import works

pytestmark = pytest.mark.slow

LENS = {"k1": -0.12}
COUNT = 16
LEAST_PSNR = 20.0  # dB on the held-out views; the mean colour of the photos has 14


def test_raw_photos_by_a_lens_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = make_photos(tmp_path / "walk", two_rows(COUNT), LENS)
    quick = ("experiment=smoke", "photos.features=1024", "scene.downscale=2")
    works("teach", "walk", *quick, "teacher.max_steps=150")
    found = load_scene(SceneConfig("runs/walk/photos", holdout=0, val_holdout=0)).train
    assert len(found) == COUNT
    errors = compare(found.c2w.double().numpy(), known)
    assert errors["rotation_largest_degrees"] < 0.3
    assert errors["position_largest_percent"] < 1.0
    fx, fy = found.intrinsics[0, :2].tolist()
    assert fx == pytest.approx(FOCAL, rel=0.01)
    assert fy == pytest.approx(FOCAL, rel=0.01)

    scene = load_scene(SceneConfig("runs/walk/photos", downscale=2), ("train", "val", "test"))
    teacher = load_teacher(Path("runs/walk/teacher/teacher.safetensors"))
    height, width = scene.size
    values = []
    for i in range(len(scene.test)):
        with torch.no_grad():
            seen = render_image(teacher, scene.test.c2w[i], scene.test.intrinsics[i], height, width)
        values.append(psnr(to_8bit(seen.rgb), ground_truth(scene.test, i)))
    print(values)
    assert sum(values) / len(values) > LEAST_PSNR
