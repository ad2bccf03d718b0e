"""Bundles for the browser's tests: untrained networks of the demo's size.

python -m tests.web.bundles FOLDER
"""

import dataclasses
import sys
from pathlib import Path
from unittest import mock

import torch

from nelf.export import ExportConfig, export_bundle
from nelf.student import HierarchicalConfig, Mapping, SceneGeometry, Student, make_student
from tests.export.networks import around, context, student
from tests.student.small import with_contrast

SIDE = 128


def demo() -> Student:
    """Preset m at 128x128, RGBA, as `nelf demo` trains it, with weights that give pictures with contrast."""
    torch.manual_seed(0)
    poses = around(64)
    intrinsics = torch.tensor([178.0, 178.0, 64.0, 64.0]).expand(len(poses), 4)
    center = torch.zeros(3)
    frame = SceneGeometry.around(poses, intrinsics, (SIDE, SIDE), 4, 2.0, 6.0, center, 1.5, Mapping.LINEAR)
    return with_contrast(make_student(HierarchicalConfig(), frame), poses)


def main() -> None:
    folder = Path(sys.argv[1])
    export_bundle(demo(), "web", "fp32", context(name="untrained"), ExportConfig(), folder / "demo")
    tiles = ExportConfig(targets=["web"], tiles=True)
    # An untrained network leaves no block out, so one size would do. With these, a picture needs calls of both.
    with mock.patch("nelf.export.tiles.choose_blocks", return_value=[160, 200]):
        export_bundle(demo(), "web", "fp32", context(name="tiles"), tiles, folder / "tiles")
    constant = student("constant", channels=4, size=(SIDE, SIDE))
    export_bundle(constant, "web", "fp32", context(name="constant"), ExportConfig(), folder / "constant")
    ahead = dataclasses.replace(context("ndc", name="ahead"), background=(0.0, 0.0, 0.0))
    export_bundle(student("mobiler2l", "ndc"), "web", "fp32", ahead, ExportConfig(), folder / "ahead")


if __name__ == "__main__":
    main()
