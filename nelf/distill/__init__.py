"""Pseudo views: choose their poses, render them with a teacher, and write them as a scene."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.distill.config import DistillConfig
    from nelf.distill.dataset import PseudoDataset, external_scene, seen_range
    from nelf.distill.poses import SAMPLERS, pose_sampler, pseudo_poses
    from nelf.distill.workers import ProcessGroup, distill_in_workers
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "SAMPLERS",
    "DistillConfig",
    "ProcessGroup",
    "PseudoDataset",
    "distill_in_workers",
    "external_scene",
    "pose_sampler",
    "pseudo_poses",
    "seen_range",
]
