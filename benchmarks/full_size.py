"""The published configurations at full size: one training step, and every bundle with untrained weights.

    python benchmarks/full_size.py paper/synthetic
    python benchmarks/full_size.py paper/llff --batch 2

Each part runs in its own process, whose peak memory is reported. Cameras and pictures are invented and weights random
(the last layer scaled so that images have contrast). So this shows that the sizes fit, not how good they look.
`--batch` sets views per step instead of the published 10, whose activations need more memory than a small machine has.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from nelf.bundle import verify_bundle
from nelf.core.cameras import look_at
from nelf.core.devices import make_fabric
from nelf.export import BundleContext, ExportConfig, export_bundle
from nelf.pipeline import Config, compose_config, typed
from nelf.student import Mapping, SceneGeometry, Student, count_macs, count_parameters, make_student
from nelf.train.batches import Batch
from nelf.train.trainer import StudentTrainer

SIZES = {"paper/synthetic": (800, 800, 4), "paper/llff": (756, 1008, 3)}  # height, width, channels
BUNDLES = [("ios", "fp16"), ("android", "fp32"), ("android", "fp16"), ("onnx", "fp32")]


def cameras(experiment: str, count: int) -> Tensor:
    """[count, 3, 4]: on a sphere around an object, or side by side before a wall."""
    generator = torch.Generator().manual_seed(0)
    if experiment == "paper/synthetic":
        eye = 4 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        return look_at(eye, torch.zeros(count, 3), torch.tensor([0.0, 0.0, 1.0]))
    eye = torch.randn(count, 3, generator=generator) * torch.tensor([0.3, 0.3, 0.02])
    return look_at(eye, eye + torch.tensor([0.0, 0.0, -4.0]), torch.tensor([0.0, 1.0, 0.0]))


def untrained(experiment: str, config: Config) -> Student:
    height, width, channels = SIZES[experiment]
    poses = cameras(experiment, 50)
    bounded = experiment == "paper/synthetic"
    intrinsics = torch.tensor([1.1 * width, 1.1 * width, width / 2, height / 2]).expand(len(poses), 4)
    near, far = (2.0, 6.0) if bounded else (1.0, 100.0)
    mapping = Mapping(config.student.mapping_for(bounded=bounded))
    frame = SceneGeometry.around(poses, intrinsics, (height, width), channels, near, far, torch.zeros(3), 1.5, mapping)
    torch.manual_seed(0)
    model = make_student(config.student, frame)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        convolutions[-1].weight.mul_(20)
    return model


def step(experiment: str, batch: int) -> dict[str, float]:
    """One training step on random pictures: seconds of the second step (the first includes setup)."""
    config = typed(compose_config(["scene.path=nowhere", f"experiment={experiment}"]))
    model = untrained(experiment, config)
    learner = StudentTrainer(model, config.train, make_fabric(config.device))
    height, width, channels = SIZES[experiment]
    images = torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8)
    lens = torch.tensor(model.frame.intrinsics).expand(batch, 4)
    given = Batch(cameras(experiment, batch), lens, images)
    seconds = 0.0
    for number in range(2):
        began = time.perf_counter()
        result = learner.step(given, config.train.lr, key=(number,))
        assert result is not None
        seconds = time.perf_counter() - began
    return {"batch": batch, "seconds": seconds, "gmac": count_macs(model) / 1e9, "parameters": count_parameters(model)}


def bundle(experiment: str, target: str, precision: str) -> dict[str, float]:
    """Export and verify one bundle of the untrained network."""
    config = typed(compose_config(["scene.path=nowhere", f"experiment={experiment}"]))
    model = untrained(experiment, config).eval()
    poses = cameras(experiment, 58)
    context = BundleContext(
        name=experiment.replace("/", "-"),
        scene_type="object" if experiment == "paper/synthetic" else "forward-facing",
        up=torch.tensor([0.0, 0.0, 1.0] if experiment == "paper/synthetic" else [0.0, 1.0, 0.0]),
        focus=torch.zeros(3) if experiment == "paper/synthetic" else torch.tensor([0.0, 0.0, -4.0]),
        near=model.frame.near,
        far=model.frame.far,
        background=(1.0, 1.0, 1.0),
        train=poses[:50],
        golden=poses[50:],
        golden_names=tuple(f"view_{i}" for i in range(8)),
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        manifest = export_bundle(model, target, precision, context, ExportConfig(), Path(folder) / "bundle")
        exported = time.perf_counter()
        verified = verify_bundle(Path(folder) / "bundle")
        assert verified.passed, verified.reason
        size = sum(f.bytes for f in manifest.files if f.role == "model")
        return {
            "psnr_min": manifest.parity.psnr_min,
            "max_abs": manifest.parity.max_abs,
            "model_mb": size / 1e6,
            "export_s": exported - began,
            "verify_s": time.perf_counter() - exported,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=SIZES)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--part", help=argparse.SUPPRESS)  # the part of a child process
    options = parser.parse_args()
    if options.part:
        name, *rest = options.part.split(":")
        found = step(options.experiment, options.batch) if name == "step" else bundle(options.experiment, *rest)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print("\n" + json.dumps({**found, "peak_gb": peak}))
        return
    for part in ["step", *(f"bundle:{target}:{precision}" for target, precision in BUNDLES)]:
        command = [sys.executable, __file__, options.experiment, "--batch", str(options.batch), "--part", part]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        print(f"{part}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
