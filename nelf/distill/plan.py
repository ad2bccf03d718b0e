"""What is to be rendered: a camera for each index, and the fingerprint of everything that decides the pixels."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nelf.data import Scene, depth_name, depth_scale, image_name
from nelf.distill.config import DistillConfig
from nelf.distill.poses import generator, pose_sampler

FORMAT = "nelf-pseudo-3"
NOTABLE = 0.01  # of the image's longer side: training intrinsics that differ by less count as one camera
INTRINSICS_STREAM = 1 << 32  # random numbers for intrinsics, apart from those for poses


@dataclass(frozen=True)
class Plan:
    """The pseudo views of one scene, teacher and configuration.

    pose: index -> c2w [3, 4]. cameras: [k, 4] intrinsics in pixels of the pseudo images; view i has one of them.
    fingerprint: SHA-256 of what decides the pixels. How many views there are is not part of it.
    """

    scene: Scene
    config: DistillConfig
    provenance: dict[str, Any]
    folder: Path
    height: int
    width: int
    cameras: Float[Tensor, "k 4"]
    pose: Callable[[int], Tensor]
    fingerprint: str

    def intrinsics(self, index: int) -> Float[Tensor, "4"]:
        chosen = generator(self.config.seed, INTRINSICS_STREAM + index).integers(len(self.cameras))
        return self.cameras[int(chosen)]

    def path(self, index: int) -> Path:
        return self.folder / image_name(index)

    def depth_path(self, index: int) -> Path | None:
        """None where no depth is wanted."""
        return self.folder / depth_name(index) if self.config.depth else None

    @property
    def depth_scale(self) -> float:
        """World units of one step of the depth maps."""
        return depth_scale(self.scene.far)

    @property
    def raw_bytes(self) -> int:
        """Bytes of one view before compression: more than the PNGs of a render take."""
        image = self.height * (self.width * self.scene.channels + 1) + 4096
        return image + (self.height * (2 * self.width + 1) + 4096 if self.config.depth else 0)


def make_plan(scene: Scene, config: DistillConfig, provenance: dict[str, Any], folder: Path) -> Plan:
    """provenance: what tells this teacher from another, as JSON values; no times, or nothing can be resumed."""
    train = scene.train
    height, width = scene.size
    cameras = train.intrinsics.double()
    if float((cameras.amax(dim=0) - cameras.amin(dim=0)).max()) < NOTABLE * max(height, width):
        cameras = cameras.mean(dim=0, keepdim=True)
    cameras = cameras.float()
    decisive = {
        "format": FORMAT,
        "provenance": provenance,
        "settings": config.pose_settings(),
        "kind": scene.kind.value,
        "size": [height, width, scene.channels],
        "depth": config.depth,
        "train": train.c2w.tolist(),
        "cameras": cameras.tolist(),
        "center": scene.center.tolist(),
        "radius": scene.radius,
        "up": scene.up.tolist(),
    }
    return Plan(
        scene=scene,
        config=config,
        provenance=provenance,
        folder=folder,
        height=height,
        width=width,
        cameras=cameras,
        pose=pose_sampler(scene.kind, train.c2w, scene.center, scene.radius, scene.up, config),
        fingerprint=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest(),
    )
