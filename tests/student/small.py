"""Small students of every family, presets, and weights that give pictures with contrast."""

from typing import Any

import torch
from torch import Tensor, nn

from nelf.pipeline import compose_config, typed
from nelf.student import STUDENT_CONFIGS, SceneGeometry, Student, StudentConfig, make_student
from nelf.student.hierarchical.feature_tables import FeatureTables, Lines

SMALL: dict[str, dict[str, Any]] = {
    "hierarchical": {
        "points_per_ray": 3,
        "width": 8,
        "blocks": 1,
        "coarse_nodes": 5,
        "coarse_channels": 4,
        "middle_nodes": 8,
        "middle_channels": 4,
        "middle_samples": 3,
        "middle_width": 8,
        "middle_blocks": 1,
        "cell_features": 6,
        "fine_nodes": 16,
        "fine_channels": 4,
        "fine_samples": 2,
        "decoder_width": 8,
        "decoder_blocks": 1,
    },
    "mobiler2l": {"points_per_ray": 4, "num_frequencies": 4, "width": 8, "blocks": 1},
}
"""student.family -> sizes that take no time, where its own are larger."""


def all_levels(**values: Any) -> dict[str, Any]:
    """The same reader, nodes or channels for the tables of all levels."""
    return {f"{level}_{key}": value for level in ("coarse", "middle", "fine") for key, value in values.items()}


def small_config(family: str = "hierarchical", **changes: Any) -> StudentConfig:
    return STUDENT_CONFIGS[family](**{**SMALL.get(family, {}), **changes})


def small_student(made_for: SceneGeometry, family: str = "hierarchical", **changes: Any) -> Student:
    """The same initial weights each time."""
    torch.manual_seed(0)
    return make_student(small_config(family, **changes), made_for)


def preset(name: str, *overrides: str) -> StudentConfig:
    """A preset of configs/student."""
    return typed(compose_config(["scene.path=nowhere", f"student={name}", *overrides])).student


@torch.no_grad()
def with_contrast(model: Student, poses: Tensor) -> Student:
    """The student with plausible trained weights, in eval mode: normalisation active, pictures not flat."""
    model.train()
    for module in model.modules():
        if isinstance(module, FeatureTables):
            module.values.mul_(1.5 if isinstance(module, Lines) else 10)  # three lines are multiplied
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-0.3, 0.3)
    for _ in range(3 if norms else 0):
        model(poses)  # running statistics
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    last.weight.mul_(30 if norms else 6)
    return model.eval()
