"""Bad teachers and bad poses give warnings."""

import numpy as np
import torch

from nelf.distill import DistillConfig, pseudo_poses
from nelf.distill.views import measure, summarise
from tests.distill.fakes import make_scene


def picture(alpha: int = 255, seed: int = 0) -> np.ndarray:
    image = np.random.default_rng(seed).integers(1, 255, (8, 8, 4), dtype=np.uint8)
    image[..., 3] = alpha
    return image


def test_figures_of_one_view() -> None:
    image = picture()
    image[:4, :, 3] = 0
    image[4:6, :, 3] = 100
    image[6:, :, :3] = 255
    figures = measure(torch.from_numpy(image))
    assert figures["alpha"] == [0.5, 0, 0, 0.25, 0, 0, 0, 0.25]
    assert (figures["covered"], figures["opaque"], figures["saturated"]) == (0.5, 0.25, 0.5)
    assert figures["spread"] == round(float(image[4:, :, :3].reshape(-1, 3).std(axis=0).mean() / 255), 6)
    assert measure(torch.zeros(2, 2, 4, dtype=torch.uint8))["spread"] == 0
    assert measure(torch.from_numpy(image[..., :3]))["alpha"] == [0, 0, 0, 0, 0, 0, 0, 1]


def summary_of(images: list[np.ndarray], c2w: torch.Tensor) -> tuple[dict, list[str]]:  # type: ignore[type-arg]
    scene = make_scene()
    return summarise(
        [measure(torch.from_numpy(i)) for i in images], c2w, scene.train.c2w, scene.center, 28.0, alpha=True
    )


def test_good_views_give_no_warning_and_bad_ones_do() -> None:
    scene = make_scene()
    poses = pseudo_poses(scene, scene.train.c2w, DistillConfig(), range(10))
    good = [picture(seed=i) for i in range(10)]
    for image in good:
        image[:3, :, 3] = 0
    summary, warnings = summary_of(good, poses)
    assert warnings == []
    assert summary["alpha_histogram"] == [0.375, 0, 0, 0, 0, 0, 0, 0.625]
    white = picture()
    white[..., :3] = 255
    poses[5] = poses[4]
    poses[6, :, 3] *= 5
    summary, warnings = summary_of([picture(alpha=0), picture(), white, *good[3:]], poses)
    assert (summary["empty_views"], summary["filled_views"], summary["saturated_views"]) == (0.2, 0.2, 0.1)
    assert (summary["outside_poses"], summary["duplicate_poses"]) == (0.1, 0.1)
    assert len(warnings) == 5
    assert warnings[0].startswith("20% of the pseudo views show nothing")
