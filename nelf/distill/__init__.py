"""Pseudo views: which poses to render, rendering them with a teacher, and the pseudo Scene that they make."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.distill.config import DistillConfig
    from nelf.distill.dataset import PseudoDataset, external_scene
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
]
