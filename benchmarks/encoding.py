"""What encoding points as sines and cosines costs: accuracy in half precision, and time.

    python benchmarks/encoding.py accuracy runs/stilllife
    python benchmarks/encoding.py accuracy --mapping ndc --minutes 3
    python benchmarks/encoding.py time

`accuracy` takes the student of a run and its test views; without a run it trains one of preset `s` with points of that
mapping, for so many minutes, on a striped ball in a coloured room. The Core ML programs that it makes differ in the
encoding alone and are executed in our interpreter. `time` measures LiteRT files in float32, untrained, at full size, in
turns: each encoding alone beside the whole network. Times want a quiet machine. docs/export.md has the tables.
"""

import argparse
import functools
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
from nelf.evaluate import ground_truth
from nelf.export import TARGETS, ExportGraph, coreml, tflite
from nelf.export.mil import Program
from nelf.export.surface import SurfaceGraph
from nelf.pipeline import Run, compose_config, typed
from nelf.rays import rays_through
from nelf.student import Frame, Mapping, NeLF, load_student
from nelf.student.encoder import encode_points, ray_points
from tests.export.programs import converted
from tests.scenes import facing_poses, render

SIZE, FOCAL, VIEWS = 96, 125.0, 240
NEAR, FAR = 3.5, 14.5  # of the ball in its room
TIMED = {
    "`m`": ("paper/synthetic", ["student=m"]),
    "`s`": ("paper/llff", ["student=s"]),
    "`s`, normalised device coordinates": ("paper/llff", ["student=s", "student.mapping=ndc"]),
}
"""name -> experiment of `full_size`, whose images and cameras are taken, and the overrides that make the student."""


class Direct(nn.Module):
    """The direct form for the coarse rays: every coordinate of every point through sine and cosine."""

    def __init__(self, model: NeLF) -> None:
        super().__init__()
        self.frame, self.octaves = model.frame, model.config.octaves
        pixels = torch.stack(torch.meshgrid(model.columns, model.rows, indexing="xy"), dim=-1)
        self.register_buffer("pixels", pixels[None])
        self.register_buffer("depths", model.depths.float().expand(1, *pixels.shape[:2], -1).contiguous())
        self.register_buffer("intrinsics", torch.tensor(model.frame.intrinsics)[None, None, None])

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 encoded rows columns"]:
        rays = rays_through(self.pixels, pose[:, None, None], self.intrinsics)
        return encode_points(ray_points(rays, self.depths, self.frame), self.octaves)


class OfSurface(nn.Module):
    """The encoding of a surface alone: the surface is somewhere, the same from every pose."""

    k: Tensor

    def __init__(self, surface: SurfaceGraph, rows: int, columns: int) -> None:
        super().__init__()
        self.surface = surface
        self.register_buffer("k", torch.linspace(-0.9, 0.9, rows * columns).reshape(1, rows, columns, 1))

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 rows columns encoded"]:
        return self.surface.encode(self.k, self.surface.lines(pose))


def encodings(model: NeLF, graph: ExportGraph) -> dict[str, nn.Module]:
    """The encodings in a graph with channels last, each from pose to tensor."""
    found = {"rays": graph.encoding}
    if graph.surface is not None:
        found["surface"] = OfSurface(graph.surface, len(model.finer_rows), len(model.finer_columns))
    return found


def trained(mapping: Mapping, minutes: float) -> tuple[NeLF, Tensor, Tensor]:
    """A student without a surface, 16 held-out poses of the ball and their images [16, h, w, 3]."""
    poses = facing_poses(VIEWS)
    images = np.stack([render(pose, FOCAL, SIZE, SIZE, room=True)[..., :3] for pose in poses])
    c2w, targets = torch.from_numpy(poses[:, :3]).float(), torch.from_numpy(images).float().permute(0, 3, 1, 2)
    held = torch.arange(7, VIEWS, 15)
    kept = torch.tensor(sorted(set(range(VIEWS)) - set(held.tolist())))
    intrinsics = torch.tensor([[FOCAL, FOCAL, SIZE / 2, SIZE / 2]]).expand(VIEWS, 4)
    frame = Frame.around(c2w, intrinsics, (SIZE, SIZE), 3, NEAR, FAR, torch.zeros(3), 1.5, mapping)
    torch.manual_seed(0)
    config = typed(compose_config(["scene.path=nowhere", "student=s", f"student.mapping={mapping}"])).student
    model = NeLF(config, frame)
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


def of_run(folder: Path) -> tuple[NeLF, Tensor, Tensor]:
    """A run's student, its test poses and their photos on white [n, h, w, 3]."""
    views = Run.open(folder, []).scene.test
    photos = torch.stack([ground_truth(views, i).float() / 255 for i in range(len(views))])
    return load_student(folder / "student" / "student.safetensors").eval(), views.c2w, photos


def on_white(images: Tensor) -> Tensor:
    """[n, h, w, 3], of premultiplied RGBA or RGB."""
    return images[..., :3] + (1 - images[..., 3:]) if images.shape[-1] == 4 else images


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Of each view."""
    return -10 * (images - reference).square().flatten(1).mean(1).log10()


def programs(model: NeLF, folder: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """What differs, a float16 program of it, and one of the rays' encoding alone where that has to be executed, too."""
    pose = torch.eye(3, 4)[None]
    own = "separated" if model.separable else "quotients"
    for name, form in (("direct", Direct(model)), (own, ExportGraph(model).encoding)):
        graph = ExportGraph(model)
        graph.encoding = form
        whole, alone = (folder / f"{name}-{part}.mlpackage" for part in ("whole", "alone"))
        yield f"{name}, all float16", converted(graph, pose, whole, half=True), converted(form, pose, alone, half=True)
    path = folder / "ours.mlpackage"
    coreml.convert(ExportGraph(model), "fp16", path, "16")
    yield f"{own}, phases in float32 (ours)", path, None
    if model.has_surface:
        graph = ExportGraph(model, dtype=torch.float16)  # the program keeps the graph's own precisions
        yield "ours, and the surface in float32", converted(graph, pose, folder / "surface.mlpackage"), None


@torch.no_grad()
def accuracy(model: NeLF, poses: Float[Tensor, "n 3 4"], photos: Float[Tensor, "n h w 3"], folder: Path) -> list[str]:
    """Rows of a table: largest error of the rays' encoding, PSNR to PyTorch (least and mean of views), to photos."""
    reference = torch.cat([model(pose[None]).permute(0, 2, 3, 1) for pose in poses])
    true = Direct(model).double()(poses[:1].double())
    rows = [
        "| encoding | largest error of the rays' | dB to PyTorch, least | mean | dB to the photos |",
        "| --- | --- | --- | --- | --- |",
        f"| PyTorch, float32 | | | | {psnr(on_white(reference), photos).mean():.3f} |",
    ]
    for name, whole, alone in programs(model, folder):
        images = executed(whole, poses)
        half = ExportGraph(model, dtype=torch.float16).encoding
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
def duration(model: NeLF, pose: Float[Tensor, "1 3 4"], repeats: int, folder: Path) -> dict[str, float]:
    """Median milliseconds of the whole network and of each encoding alone, LiteRT, float32."""
    graph = ExportGraph(model, TARGETS["android"].layout)
    runs: dict[str, Callable[[], object]] = {}
    for name, module in {"whole": graph, **encodings(model, graph)}.items():
        path = folder / f"{name}.tflite"
        tflite.convert(module, "fp32", path)
        runs[name] = functools.partial(tflite.load(path).render, pose)
    return in_turns(runs, repeats)


def timed(repeats: int, folder: Path) -> Iterator[str]:
    """Rows of a table."""
    yield "| student | image | encoding of | alone, ms | whole, ms | share |\n| --- | --- | --- | --- | --- | --- |"
    for name, (experiment, overrides) in TIMED.items():
        config = typed(compose_config(["scene.path=nowhere", *overrides]))
        model, (height, width, _) = untrained(experiment, config).eval(), SIZES[experiment]
        found = duration(model, cameras(experiment, 1), repeats, folder)
        whole = found.pop("whole")
        for part, ms in found.items():
            yield f"| {name} | {width}x{height} | {part} | {ms:.2f} | {whole:.1f} | {100 * ms / whole:.2f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    exact = parts.add_parser("accuracy")
    exact.add_argument("run", type=Path, nargs="?", help="folder of a run with a trained student")
    exact.add_argument("--mapping", choices=list(Mapping), default=Mapping.NDC, help="without a run")
    exact.add_argument("--minutes", type=float, default=3.0, help="of training, without a run")
    parts.add_parser("time").add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if options.part == "time":
            for row in timed(options.repeats, Path(temporary)):
                print(row, flush=True)
        else:
            given = of_run(options.run) if options.run else trained(Mapping(options.mapping), options.minutes)
            print("\n".join(accuracy(*given, Path(temporary))))


if __name__ == "__main__":
    main()
