"""What the encoding costs: in accuracy, when all of it runs in half precision, and in time.

    python -m tests.export.encoding_cost --run runs/stilllife
    python -m tests.export.encoding_cost --minutes 3

takes the student of a run and its test views, or trains a small one on a striped ball in a coloured room; makes Core ML
programs with four forms of the encoding and everything else in float16, runs them in the interpreter, and prints the
tables of docs/export.md.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nelf.evaluate import ground_truth
from nelf.export import ExportGraph, coreml, tflite
from nelf.export.mil import Program
from nelf.export.network import Layout
from nelf.pipeline import Run
from nelf.rays import rays_through
from nelf.student import Frame, Mapping, NeLF, StudentConfig, load_student
from nelf.student.encoder import encode_points, ray_points
from tests.export.networks import ahead, around
from tests.export.programs import converted
from tests.scenes import hemisphere_poses, render

SIZE = 96
FOCAL = 1.3 * SIZE
VIEWS = 240


class Direct(nn.Module):
    """The direct form: every coordinate of every point through sine and cosine."""

    def __init__(self, model: NeLF) -> None:
        super().__init__()
        self.frame, self.octaves = model.frame, model.config.octaves
        pixels = torch.stack(torch.meshgrid(model.columns, model.rows, indexing="xy"), dim=-1)
        self.register_buffer("pixels", pixels[None])
        self.register_buffer("depths", model.depths.float().expand(1, *pixels.shape[:2], -1).contiguous())
        self.register_buffer("intrinsics", torch.tensor(model.frame.intrinsics)[None, None, None])

    def forward(self, pose: Tensor) -> Tensor:
        rays = rays_through(self.pixels, pose[:, None, None], self.intrinsics)
        return encode_points(ray_points(rays, self.depths, self.frame), self.octaves)


class Whole(nn.Module):
    """Any encoding before the exported network."""

    def __init__(self, encoding: nn.Module, model: NeLF) -> None:
        super().__init__()
        self.encoding, self.network = encoding, ExportGraph(model).network

    def forward(self, pose: Tensor) -> Tensor:
        return self.network(self.encoding(pose)).permute(0, 2, 3, 1)


def train(minutes: float) -> tuple[NeLF, Tensor, Tensor]:
    """A student of the ball, 16 held-out poses and their images [16, h, w, 3]."""
    poses = hemisphere_poses(VIEWS)
    images = np.stack([render(pose, FOCAL, SIZE, SIZE, room=True)[..., :3] for pose in poses])
    c2w, targets = torch.from_numpy(poses[:, :3]).float(), torch.from_numpy(images).float().permute(0, 3, 1, 2)
    held = torch.arange(7, VIEWS, 15)
    kept = torch.tensor([i for i in range(VIEWS) if i not in set(held.tolist())])
    intrinsics = torch.tensor([[FOCAL, FOCAL, SIZE / 2, SIZE / 2]]).expand(VIEWS, 4)
    frame = Frame.around(c2w, intrinsics, (SIZE, SIZE), 3, 2.0, 6.0, torch.zeros(3), 1.5, Mapping.LINEAR)
    torch.manual_seed(0)
    model = NeLF(StudentConfig(name="s", width=64, blocks=3), frame)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    end, start = time.monotonic() + 60 * minutes, time.monotonic()
    while (now := time.monotonic()) < end:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - (now - start) / (end - start))
        batch = kept[torch.randint(len(kept), (8,))]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(c2w[batch]), targets[batch]).backward()
        optimizer.step()
    return model.eval(), c2w[held], targets[held].permute(0, 2, 3, 1)


def of_run(folder: Path) -> tuple[NeLF, Tensor, Tensor]:
    """A run's student, its test poses and their photos on white [n, h, w, 3]."""
    views = Run.open(folder, []).scene.test
    photos = torch.stack([ground_truth(views, i).float() / 255 for i in range(len(views))])
    return load_student(folder / "student" / "student.safetensors").eval(), views.c2w, photos


def on_white(images: Tensor) -> Tensor:
    """[n, h, w, 3], of premultiplied RGBA or RGB."""
    return images[..., :3] + (1 - images[..., 3:]) if images.shape[-1] == 4 else images


@torch.no_grad()
def accuracy(model: NeLF, poses: Tensor, images: Tensor, folder: Path) -> None:
    """Float16 programs in our interpreter, which differ in the encoding alone."""
    pose = poses[:1]
    reference = torch.stack([model(one[None])[0].permute(1, 2, 0) for one in poses])
    forms = {"direct form, float16": Direct(model), "separated, float16": ExportGraph(model).encoding}
    true = Direct(model).double()(pose.double())
    print("\n| encoding | largest error | dB against PyTorch | dB against the scene |\n|---|---|---|---|")
    print(f"| PyTorch, float32 | | | {psnr(on_white(reference), images):.2f} |")

    def row(name: str, path: Path, error: float | None) -> None:
        program = Program(path)
        inputs = [{program.inputs[0]: one[None]} for one in poses]
        rendered = torch.stack([program.run(values)[program.outputs[0]][0].float() for values in inputs])
        largest = "" if error is None else f"{error:.4f}"
        print(
            f"| {name} | {largest} | {psnr(rendered, reference):.1f} | {psnr(on_white(rendered), images):.2f} |",
            flush=True,
        )

    for i, (name, form) in enumerate(forms.items()):
        alone = Program(converted(form, pose, folder / f"alone{i}.mlpackage", half=True))
        (encoded,) = alone.run({"x": pose}).values()
        whole = converted(Whole(form, model), pose, folder / f"whole{i}.mlpackage", half=True)
        row(name, whole, float((encoded.double() - true).abs().max()))
    coreml.convert(ExportGraph(model), "fp16", folder / "ours.mlpackage", "16")
    half = ExportGraph(model, dtype=torch.float16).encoding(pose)
    row("separated, phase in float32 (ours)", folder / "ours.mlpackage", float((half.double() - true).abs().max()))


def psnr(image: Tensor, reference: Tensor) -> float:
    """Mean over views."""
    return float((-10 * (image - reference).square().flatten(1).mean(1).log10()).mean())


@torch.no_grad()
def duration(repeats: int, folder: Path) -> None:
    """LiteRT, float32, preset m at 800x800: the encoding alone beside the whole network, runs interleaved."""
    print("\n| encoding | alone, ms | whole model, ms | share |\n|---|---|---|---|")
    for mapping, name in ((Mapping.LINEAR, "separated"), (Mapping.NDC, "direct, device coordinates")):
        poses = around(16) if mapping is Mapping.LINEAR else ahead(16)
        intrinsics = torch.tensor([[1111.0, 1111.0, 400.0, 400.0]]).expand(16, 4)
        frame = Frame.around(poses, intrinsics, (800, 800), 3, 1.0, 6.0, torch.zeros(3), 1.5, mapping)
        graph = ExportGraph(NeLF(StudentConfig(), frame).eval(), Layout.CHANNELS_LAST)
        runs: dict[str, Callable[[Tensor], Tensor]] = {}
        for part, module in (("alone", graph.encoding), ("whole", graph)):
            path = folder / f"{mapping.value}-{part}.tflite"
            tflite.convert(module, "fp32", path)  # type: ignore[arg-type]  # any module from pose to tensor
            runs[part] = tflite.load(path).render
        times: dict[str, list[float]] = {part: [] for part in runs}
        for _ in range(repeats + 3):
            for part, run in runs.items():
                start = time.perf_counter()
                run(poses[:1])
                times[part].append(1000 * (time.perf_counter() - start))
        alone, whole = (statistics.median(values[3:]) for values in times.values())
        print(f"| {name} | {alone:.1f} | {whole:.1f} | {100 * alone / whole:.1f} % |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="take the student of this run")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, without a run")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        accuracy(*(of_run(options.run) if options.run else train(options.minutes)), Path(temporary))
        duration(options.repeats, Path(temporary))
