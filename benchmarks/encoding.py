"""Cost of MobileR2L's encoding of points as sines and cosines: accuracy in half precision, and time.

    python benchmarks/encoding.py accuracy runs/stilllife
    python benchmarks/encoding.py accuracy --spacing ndc --minutes 3
    python benchmarks/encoding.py time

`accuracy` takes the student of a run, a MobileR2L, and its test views. Without a run it trains a small one with points
of that spacing, for so many minutes, on a striped ball in a coloured room. Its Core ML programs differ only in the
encoding and are executed in our interpreter. `time` measures untrained LiteRT files in float32 at full size, in turns:
the encoding alone, and the whole network. Times need an idle machine. docs/export.md has the tables.
"""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.full_size import SIZES, cameras, untrained
from benchmarks.turns import in_turns
from nelf.core.cameras import rays_through
from nelf.evaluate import ground_truth
from nelf.export import TARGETS, ExportGraph, coreml, litert
from nelf.pipeline import Run, compose_config, typed
from nelf.runtime import INPUT, open_model
from nelf.runtime.coreml_program import Program
from nelf.student import Mapping, SceneGeometry, load_student, make_student
from nelf.student.mobiler2l import MobileR2L
from nelf.student.ray_encoding import Encoding, encode_points, ray_points
from tests.export.programs import converted
from tests.scenes import facing_poses, render

SIZE, FOCAL, VIEWS = 96, 125.0, 240
NEAR, FAR = 3.5, 14.5  # of the ball in its room
SMALL = ["student.width=48", "student.blocks=4", "student.num_frequencies=8"]
"""Overrides that let MobileR2L's preset train in minutes, with enough octaves to show rounding."""
TIMED = {"linear": "paper/synthetic", "normalised device coordinates": "paper/llff"}
"""Depth spacing -> experiment of `full_size` whose network, images and cameras are used."""


class Direct(nn.Module):
    """The direct form for the coarse rays: sine and cosine of every coordinate of every point."""

    def __init__(self, model: MobileR2L) -> None:
        super().__init__()
        self.frame, self.octaves = model.frame, model.config.num_frequencies
        pixels = torch.stack(torch.meshgrid(model.columns, model.rows, indexing="xy"), dim=-1)
        self.register_buffer("pixels", pixels[None])
        self.register_buffer("depths", model.depths.float().expand(1, *pixels.shape[:2], -1).contiguous())
        self.register_buffer("intrinsics", torch.tensor(model.frame.intrinsics)[None, None, None])

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 encoded rows columns"]:
        rays = rays_through(self.pixels, pose[:, None, None], self.intrinsics)
        return encode_points(ray_points(rays, self.depths, self.frame), self.octaves)


def encoding_of(graph: ExportGraph) -> Encoding | None:
    """The encoding of rays in a graph, from pose to tensor; None for students without one."""
    return next((module for module in graph.modules() if isinstance(module, Encoding)), None)


def with_encoding(graph: ExportGraph, form: nn.Module) -> ExportGraph:
    """The graph with another encoding."""
    network = graph.network
    assert isinstance(network, nn.Sequential)
    assert isinstance(network[0], Encoding)
    network[0] = form
    return graph


def trained(spacing: Mapping, minutes: float) -> tuple[MobileR2L, Tensor, Tensor]:
    """A small MobileR2L, 16 held-out poses of the ball and their images [16, h, w, 3]."""
    poses = facing_poses(VIEWS)
    images = np.stack([render(pose, FOCAL, SIZE, SIZE, room=True)[..., :3] for pose in poses])
    c2w, targets = torch.from_numpy(poses[:, :3]).float(), torch.from_numpy(images).float().permute(0, 3, 1, 2)
    held = torch.arange(7, VIEWS, 15)
    kept = torch.tensor(sorted(set(range(VIEWS)) - set(held.tolist())))
    intrinsics = torch.tensor([[FOCAL, FOCAL, SIZE / 2, SIZE / 2]]).expand(VIEWS, 4)
    frame = SceneGeometry.around(c2w, intrinsics, (SIZE, SIZE), 3, NEAR, FAR, torch.zeros(3), 1.5, spacing)
    torch.manual_seed(0)
    config = typed(compose_config(["scene.path=nowhere", "student=mobiler2l", *SMALL])).student
    model = make_student(config, frame)
    assert isinstance(model, MobileR2L)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    start, passed = time.monotonic(), 0.0
    while passed < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - passed)
        batch = kept[torch.randint(len(kept), (8,))]
        optimizer.zero_grad()
        nn.functional.mse_loss(model(c2w[batch]), targets[batch]).backward()
        optimizer.step()
        passed = (time.monotonic() - start) / (60 * minutes)
    return model.eval(), c2w[held], targets[held].permute(0, 2, 3, 1)


def of_run(folder: Path) -> tuple[MobileR2L, Tensor, Tensor]:
    """A run's student, its test poses and their photos on white [n, h, w, 3]."""
    views = Run.open(folder, []).scene.test
    photos = torch.stack([ground_truth(views, i).float() / 255 for i in range(len(views))])
    model = load_student(folder / "student" / "student.safetensors")
    if not isinstance(model, MobileR2L):
        sys.exit(f"encoding: the student of {folder} is a {model.config.family}, which encodes no points")
    return model, views.c2w, photos


def on_white(images: Tensor) -> Tensor:
    """[n, h, w, 3], of premultiplied RGBA or RGB."""
    return images[..., :3] + (1 - images[..., 3:]) if images.shape[-1] == 4 else images


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each view."""
    return -10 * (images - reference).square().flatten(1).mean(1).log10()


def programs(model: MobileR2L, folder: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield what differs, its float16 program, and a program of the rays' encoding alone if that must run too."""
    pose = torch.eye(3, 4)[None]
    encoding = encoding_of(ExportGraph(model))
    assert encoding is not None
    own = "quotients" if model.frame.mapping == Mapping.NDC else "separated"
    for name, form in (("direct", Direct(model)), (own, encoding)):
        graph = with_encoding(ExportGraph(model), form)
        whole, alone = (folder / f"{name}-{part}.mlpackage" for part in ("whole", "alone"))
        yield f"{name}, all float16", converted(graph, pose, whole, half=True), converted(form, pose, alone, half=True)
    path = folder / "ours.mlpackage"
    coreml.save(coreml.convert(ExportGraph(model), "fp16", "16"), "fp16", path)
    yield f"{own}, phases in float32 (ours)", path, None


@torch.no_grad()
def accuracy(
    model: MobileR2L, poses: Float[Tensor, "n 3 4"], photos: Float[Tensor, "n h w 3"], folder: Path
) -> list[str]:
    """Rows of a table: largest error of the rays' encoding; PSNR to PyTorch (least and mean of views); to photos."""
    reference = torch.cat([model(pose[None]).permute(0, 2, 3, 1) for pose in poses])
    true = Direct(model).double()(poses[:1].double())
    half = encoding_of(ExportGraph(model, dtype=torch.float16))
    assert half is not None
    rows = [
        "| encoding | largest error of the rays' | dB to PyTorch, least | mean | dB to the photos |",
        "| --- | --- | --- | --- | --- |",
        f"| PyTorch, float32 | | | | {psnr(on_white(reference), photos).mean():.3f} |",
    ]
    for name, whole, alone in programs(model, folder):
        images = executed(whole, poses)
        encoded = half(poses[:1]) if alone is None else executed(alone, poses[:1])
        error, agreement = (encoded.double() - true).abs().max(), psnr(images, reference)
        rows.append(
            f"| {name} | {error:.4f} | {agreement.min():.1f} | {agreement.mean():.1f} "
            f"| {psnr(on_white(images), photos).mean():.3f} |"
        )
    return rows


def executed(path: Path, poses: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n a b c"]:
    program = Program(path)
    ((name,), (output,)) = program.inputs, program.outputs
    return torch.cat([program.run({name: pose[None]})[output].float() for pose in poses])


@torch.no_grad()
def duration(model: MobileR2L, pose: Float[Tensor, "1 3 4"], repeats: int, folder: Path) -> dict[str, float]:
    """Median milliseconds of the whole network and of its encoding alone, LiteRT, float32."""
    graph = ExportGraph(model, TARGETS["android"].layout)
    encoding = encoding_of(graph)
    assert encoding is not None
    runs: dict[str, Callable[[], object]] = {}
    for name, module in {"whole": graph, "encoding": encoding}.items():
        path = folder / f"{name}.tflite"
        litert.convert(module, path)
        runs[name] = functools.partial(open_model(path, torch.get_num_threads()).run, {INPUT: pose.numpy()})
    return in_turns(runs, repeats)


def timed(repeats: int, folder: Path) -> Iterator[str]:
    """Rows of a table."""
    yield "| depth spacing | image | encoding alone, ms | whole, ms | share |\n| --- | --- | --- | --- | --- |"
    for name, experiment in TIMED.items():
        config = typed(compose_config(["scene.path=nowhere", f"experiment={experiment}"]))
        model, (height, width, _) = untrained(experiment, config).eval(), SIZES[experiment]
        assert isinstance(model, MobileR2L)
        found = duration(model, cameras(experiment, 1), repeats, folder)
        share = 100 * found["encoding"] / found["whole"]
        yield f"| {name} | {width}x{height} | {found['encoding']:.2f} | {found['whole']:.1f} | {share:.2f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    exact = parts.add_parser("accuracy")
    exact.add_argument("run", type=Path, nargs="?", help="folder of a run with a trained student")
    exact.add_argument("--spacing", choices=list(Mapping), default=Mapping.NDC, help="without a run")
    exact.add_argument("--minutes", type=float, default=3.0, help="of training, without a run")
    parts.add_parser("time").add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if options.part == "time":
            for row in timed(options.repeats, Path(temporary)):
                print(row, flush=True)
        else:
            given = of_run(options.run) if options.run else trained(Mapping(options.spacing), options.minutes)
            print("\n".join(accuracy(*given, Path(temporary))))


if __name__ == "__main__":
    main()
