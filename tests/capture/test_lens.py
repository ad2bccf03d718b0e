"""From photos by a lens that distorts to a teacher: poses, lens and pictures are known, and must be found."""

from pathlib import Path

import numpy as np
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
LEAST_PSNR = 21.0  # dB on the photos that it learnt from, after 120 steps; their mean colour has 19.2


def test_raw_photos_by_a_lens_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = make_photos(tmp_path / "walk", np.roll(two_rows(COUNT), COUNT // 4, axis=0), LENS)  # no test view at an end
    quick = ("experiment=smoke", "photos.features=1024", "scene.downscale=4")
    works("teach", "walk", *quick, "teacher.max_steps=120")
    found = load_scene(SceneConfig("runs/walk/photos", holdout=0, val_holdout=0)).train
    assert len(found) == COUNT
    errors = compare(found.c2w.double().numpy(), known)
    assert errors["rotation_largest_degrees"] < 0.3
    assert errors["position_largest_percent"] < 1.0
    fx, fy = found.intrinsics[0, :2].tolist()
    assert fx == pytest.approx(FOCAL, rel=0.01)
    assert fy == pytest.approx(FOCAL, rel=0.01)

    views = load_scene(SceneConfig("runs/walk/photos", downscale=4)).train
    teacher = load_teacher(Path("runs/walk/teacher/teacher.safetensors"))
    values = []
    for i in range(len(views)):
        with torch.no_grad():
            seen = render_image(teacher, views.c2w[i], views.intrinsics[i], views.height, views.width)
        values.append(psnr(to_8bit(seen.rgb), ground_truth(views, i)))
    assert sum(values) / len(values) > LEAST_PSNR
