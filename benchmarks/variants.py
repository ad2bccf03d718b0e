"""What the product does not have, beside what it has: small changes to the default student, on equal terms.

    python benchmarks/variants.py runs/stilllife --steps 800 --out runs/variants
    python benchmarks/variants.py runs/stilllife --steps 800 --out runs/variants --only base relu crops

RUN has its teacher and pseudo views with depth (`nelf distill`). Every arm is the default student but for what its
line in ARMS says, trained for the same number of steps of the same views (stage 1 only; cosine to zero), on one thread.
PSNR is that of the averaged weights on the real test views, and on every tenth pseudo view, which no arm learns from.
Milliseconds a step are the median, on whatever machine this is, so compare within a run; GMAC is one image's. An arm
that is done is not done again; docs/student.md has the figures.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.student import mean_psnr
from nelf.data import Views
from nelf.devices import DeviceConfig, make_fabric
from nelf.pipeline import Run, new_student
from nelf.pipeline.stages import rendered_scene
from nelf.storage import write_json
from nelf.student import NeLF, StudentConfig, count_macs, count_parameters
from nelf.student.body import Residual, residual_init
from nelf.student.surface import SurfaceUpsampler
from nelf.train import TrainConfig, losses
from nelf.train.feed import Batch, CachedViews, Cells, MemoryBudget, ShuffledOrder
from nelf.train.learner import Learner, _Decoder

HELD_OUT = 10  # every tenth pseudo view


@dataclass(frozen=True)
class Variant:
    """How an arm differs. model: changes the network that was built; learn: takes the place of `learn_whole`."""

    student: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    model: Callable[[NeLF], None] = lambda model: None
    loss: Callable[[float], Callable[..., Tensor]] | None = None
    learn: "Learn | None" = None
    views: int | None = None
    steps: float = 1.0
    """Of those of the others."""


# Networks


def replaced(model: nn.Module, of: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Put `make(module)` in the place of every module of class `of`."""
    for name, module in list(model.named_children()):
        if isinstance(module, of):
            setattr(model, name, make(module))
        else:
            replaced(module, of, make)


def activation(make: Callable[[], nn.Module]) -> Callable[[NeLF], None]:
    return lambda model: replaced(model, nn.GELU, lambda _: make())


def batchnorm(model: NeLF) -> None:
    """Behind each convolution of the residual blocks, as MobileR2L has it; folds away at export."""

    def normalised(block: Residual) -> Residual:
        layers: list[nn.Module] = []
        for layer in block.layers:
            layers += [layer, nn.BatchNorm2d(layer.out_channels)] if isinstance(layer, nn.Conv2d) else [layer]
        return Residual(*layers)

    replaced(model, Residual, normalised)


class Branches(nn.Module):
    """A 3x3 convolution with a 1x1 one beside it (RepVGG, Ding et al. 2021); one 3x3 convolution after training."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.beside = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=False)
        nn.init.zeros_(self.beside.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.beside(x)


def branches(model: NeLF) -> None:
    replaced(model, Residual, lambda block: Residual(*(wider(layer) for layer in block.layers)))


def wider(layer: nn.Module) -> nn.Module:
    return Branches(layer) if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) else layer


def convnext(model: NeLF) -> None:
    """The blocks that paint: depthwise 7x7 and a pair of 1x1 that widens fourfold, two for one of two 3x3."""

    def block(width: int, of: int) -> Residual:
        return Residual(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            nn.Conv2d(width, 4 * width, 1),
            nn.GELU(),
            residual_init(nn.Conv2d(4 * width, width, 1), of),
        )

    surface = model.upsampler
    assert isinstance(surface, SurfaceUpsampler)
    layers: list[nn.Module] = []
    count = sum(isinstance(layer, Residual) for layer in surface.paint)
    for layer in surface.paint:
        width = surface.mix.out_channels
        layers += [block(width, 2 * count), block(width, 2 * count)] if isinstance(layer, Residual) else [layer]
    surface.paint = nn.Sequential(*layers)


class Planes(nn.Module):
    """Three axis-aligned planes of features (EG3D, Chan et al. 2022; LightSpeed's light slabs stand for the same idea),
    read where the surface is and joined with its encoding by the 1x1 convolution that follows."""

    def __init__(self, surface: SurfaceUpsampler, side: int, channels: int, alone: bool, gain: float) -> None:
        super().__init__()
        old, self.alone, self.gain = surface.mix, alone, gain
        features = old.in_channels - 3 * (1 + 2 * surface.octaves)
        self.features = features
        self.planes = nn.Parameter(0.1 / gain * torch.randn(3, channels, side, side))
        if gain != 1:  # not four axes: AdamW's, not Muon's; a gain stands for a higher rate
            self.planes = nn.Parameter(self.planes.detach().flatten(0, 1))
        self.mix = nn.Conv2d(3 * channels + (features + 3 if alone else old.in_channels), old.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        points = x[:, self.features : self.features + 3]
        read = []
        for plane, (a, b) in zip(
            self.gain * self.planes.reshape(3, -1, *self.planes.shape[-2:]), ((0, 1), (1, 2), (2, 0)), strict=True
        ):
            at = torch.stack([points[:, a], points[:, b]], dim=-1) / 3.0  # coordinates reach about pi
            read.append(F.grid_sample(plane.expand(len(x), -1, -1, -1), at, align_corners=False, padding_mode="border"))
        kept = x[:, : self.features + 3] if self.alone else x
        return self.mix(torch.cat([kept, *read], dim=1))


def planes(side: int, channels: int, alone: bool = False, gain: float = 1.0) -> Callable[[NeLF], None]:
    def change(model: NeLF) -> None:
        surface = model.upsampler
        assert isinstance(surface, SurfaceUpsampler)
        surface.mix = Planes(surface, side, channels, alone, gain)  # type: ignore[assignment]

    return change


class Lines(nn.Module):
    """Features of the surface as products of a function of x, one of y and one of z, each piecewise linear between
    `nodes` values (TensoRF's CP form, Chen et al. 2022). A hat around each node and a 1x1 convolution: no gather."""

    nodes: Tensor

    def __init__(self, surface: SurfaceUpsampler, nodes: int, rank: int) -> None:
        super().__init__()
        old = surface.mix
        self.features = old.in_channels - 3 * (1 + 2 * surface.octaves)
        self.register_buffer("nodes", torch.linspace(-3.2, 3.2, nodes)[:, None, None], persistent=False)
        self.inverse = (nodes - 1) / 6.4
        self.lines = nn.Parameter(1 + 0.5 * torch.randn(3 * rank, nodes))
        self.mix = nn.Conv2d(rank + old.in_channels, old.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        read = []
        for axis, line in enumerate(self.lines[:, :, None, None].chunk(3)):
            at = x[:, self.features + axis, None]
            hats = (1 - (at - self.nodes).abs() * self.inverse).relu()
            read.append(F.conv2d(hats, line))
        return self.mix(torch.cat([x, read[0] * read[1] * read[2]], dim=1))


def lines(nodes: int, rank: int) -> Callable[[NeLF], None]:
    def change(model: NeLF) -> None:
        surface = model.upsampler
        assert isinstance(surface, SurfaceUpsampler)
        surface.mix = Lines(surface, nodes, rank)  # type: ignore[assignment]

    return change


# Losses: of predicted and true images, at the given fraction of the budget


def spectrum(weight: float) -> Callable[[float], Callable[..., Tensor]]:
    """The difference's Fourier coefficients by their absolute values, in the second half of the training."""

    def at(fraction: float) -> Callable[..., Tensor]:
        def loss(name: str, predicted: Tensor, truth: Tensor) -> Tensor:
            plain = image_loss(name, predicted, truth)
            if fraction < 0.5:
                return plain
            return plain + weight * torch.fft.rfft2(predicted - truth, norm="ortho").abs().mean()

        return loss

    return at


def edges(weight: float) -> Callable[[float], Callable[..., Tensor]]:
    """Differences of neighbouring pixels, squared, in the second half of the training."""

    def at(fraction: float) -> Callable[..., Tensor]:
        def loss(name: str, predicted: Tensor, truth: Tensor) -> Tensor:
            plain = image_loss(name, predicted, truth)
            if fraction < 0.5:
                return plain
            d = predicted - truth
            return plain + weight * (d.diff(dim=2).square().mean() + d.diff(dim=3).square().mean())

        return loss

    return at


image_loss = losses.image_loss


# Which pixels a step sees


@dataclass
class Lesson:
    """What a way of learning may use."""

    learner: Learner
    views: CachedViews
    batch: int
    state: dict[str, Any] = field(default_factory=dict)


Learn = Callable[[Lesson, int, float], None]


def learn_whole(lesson: Lesson, step: int, rate: float) -> None:
    order = lesson.state.setdefault("order", ShuffledOrder(len(lesson.views), [0]))
    chosen = [order.at(step * lesson.batch + i) for i in range(lesson.batch)]
    lesson.learner.step(lesson.views.batch(chosen), rate, (step,))


def learn_hard(lesson: Lesson, step: int, rate: float) -> None:
    """A view's chance is its last error; unseen views first."""
    errors = lesson.state.setdefault("errors", np.full(len(lesson.views), 10.0))
    random = np.random.default_rng([1, step])
    chosen = random.choice(len(errors), lesson.batch, replace=False, p=errors / errors.sum()).tolist()
    result = lesson.learner.step(lesson.views.batch(chosen), rate, (step,))
    assert result is not None
    errors[chosen] = (result[1] - result[2]).square().mean(dim=(1, 2, 3)).numpy()


def learn_crops(lesson: Lesson, step: int, rate: float) -> None:
    """Four times as many views, a quarter of each: the same network over a grid of half the size."""
    learner, views = lesson.learner, lesson.views
    if "cropped" not in lesson.state:
        frame = learner.model.frame
        half = dataclasses.replace(frame, height=frame.height // 2, width=frame.width // 2)
        small = NeLF(learner.model.config, half)
        cropped = copy.copy(learner)
        cropped.model, cropped.encode = small, small.encode
        small.body, small.upsampler = learner.model.body, learner.model.upsampler
        cropped.decoder = _Decoder(small)
        cropped.shards = None
        lesson.state["cropped"], lesson.state["frame"] = cropped, half
    cropped, half = lesson.state["cropped"], lesson.state["frame"]
    order = lesson.state.setdefault("order", ShuffledOrder(len(views), [0]))
    count = 4 * lesson.batch
    whole = views.batch([order.at(step * count + i) for i in range(count)])
    random = np.random.default_rng([2, step])
    factor = learner.model.config.factor
    images, depths, intrinsics = [], [], whole.intrinsics.clone()
    assert whole.depths is not None
    cell = learner.model.frame.height // whole.depths.shape[1]
    for i in range(count):
        top, left = (int(n) * factor for n in random.integers(0, half.height // factor + 1, 2))
        images.append(whole.images[i, :, top : top + half.height, left : left + half.width])
        rows, columns = (
            slice(top // cell, (top + half.height) // cell),
            slice(left // cell, (left + half.width) // cell),
        )
        depths.append(whole.depths[i, rows, columns])
        intrinsics[i, 2] -= left
        intrinsics[i, 3] -= top
    cropped.step(Batch(whole.c2w, intrinsics, torch.stack(images), torch.stack(depths)), rate, (step,))


ARMS: dict[str, Variant] = {
    "base": Variant(),
    # body, each with about the arithmetic of the base
    "body-conv3x3": Variant({"body": "conv3x3", "blocks": 6}),
    "body-depthwise": Variant({"body": "depthwise", "width": 96, "blocks": 6}),
    "body-pointwise": Variant({"body": "pointwise", "width": 128, "blocks": 7}),
    "width-64-blocks-1": Variant({"width": 64, "blocks": 1}),
    "width-32-blocks-8": Variant({"width": 32, "blocks": 8}),
    # after the surface
    "tail-convnext": Variant(model=convnext),
    "tail-40x6": Variant({"tail_width": 40, "tail_blocks": 6}),
    "tail-72x2": Variant({"tail_width": 72, "tail_blocks": 2}),
    "tail-branches": Variant(model=branches),
    "batchnorm": Variant(model=batchnorm),
    "relu": Variant(model=activation(nn.ReLU)),
    "silu": Variant(model=activation(nn.SiLU)),
    # grid and rays
    "factor-4": Variant({"factor": 4, "width": 24}),
    "factor-16": Variant({"factor": 16, "width": 96}),
    "shuffle": Variant({"upsampler": "shuffle", "width": 72, "blocks": 4}),
    "points-8": Variant({"points": 8}),
    "points-32": Variant({"points": 32}),
    "octaves-4": Variant({"octaves": 4}),
    "octaves-8": Variant({"octaves": 8}),
    "near-to-far": Variant({"within_ball": False}),
    "surface-octaves-6": Variant({"tail_octaves": 6}),
    "surface-octaves-10": Variant({"tail_octaves": 10}),
    # features in place of, or beside, the encoding of the surface
    "planes-64x8": Variant(model=planes(64, 8)),
    "planes-128x16": Variant(model=planes(128, 16)),
    "planes-128x16-alone": Variant(model=planes(128, 16, alone=True)),
    "planes-128x16-adamw": Variant(model=planes(128, 16, gain=1.001)),
    "planes-128x16-adamw-fast": Variant(model=planes(128, 16, gain=4.0)),
    "planes-64x8-adamw-fast": Variant(model=planes(64, 8, gain=4.0)),
    "lines-64x48": Variant(model=lines(64, 48)),
    "lines-32x32": Variant(model=lines(32, 32)),
    # losses
    "l1": Variant(train={"loss": "l1"}),
    "charbonnier": Variant(train={"loss": "charbonnier"}),
    "spectrum": Variant(loss=spectrum(0.01)),
    "edges": Variant(loss=edges(1.0)),
    "surface-weight-0": Variant(train={"surface_weight": 0.0}),
    "surface-weight-1": Variant(train={"surface_weight": 1.0}),
    "surface-weight-5": Variant(train={"surface_weight": 5.0}),
    # optimizers
    "adamw": Variant(train={"optimizer": "adamw", "lr": 2e-3}),
    "rate-1.5e-3": Variant(train={"lr": 1.5e-3}),
    "rate-6e-3": Variant(train={"lr": 6e-3}),
    "rate-9e-3": Variant(train={"lr": 9e-3}),
    "rate-6e-3-warm": Variant(train={"lr": 6e-3, "warmup_steps": 300}),
    "constant-rate": Variant(train={"schedule": "constant"}),
    "no-average": Variant(train={"ema": 0.0}),
    "batch-4": Variant(train={"batch": 4}, steps=2),
    "batch-16": Variant(train={"batch": 16}, steps=0.5),
    # data
    "hard-views": Variant(learn=learn_hard),
    "crops": Variant(learn=learn_crops),
    "views-80": Variant(views=80),
    "views-160": Variant(views=160),
    "views-320": Variant(views=320),
    # together
    "together": Variant({"octaves": 4, "tail_octaves": 6}, {"surface_weight": 1.0}),
    "batch-2": Variant(train={"batch": 2}, steps=4),
    "together-batch-4": Variant({"octaves": 4, "tail_octaves": 6}, {"surface_weight": 1.0, "batch": 4}, steps=2),
    "together-batch-4-rate": Variant(
        {"octaves": 4, "tail_octaves": 6}, {"surface_weight": 1.0, "batch": 4, "lr": 4.5e-3}, steps=2
    ),
    "together-rate": Variant({"octaves": 4, "tail_octaves": 6}, {"surface_weight": 1.0, "lr": 6e-3}),
}


def build(run: Run, variant: Variant) -> NeLF:
    run.config.student = StudentConfig(**{**dataclasses.asdict(run.config.student), **variant.student})
    model = new_student(run)
    variant.model(model)
    return model


def train(run: Run, variant: Variant, steps: int, views: Views, held_out: Views) -> dict[str, Any]:
    config = TrainConfig(**{"steps": steps, "minutes": None, **variant.train})
    learner = Learner(build(run, variant), config, make_fabric(DeviceConfig(accelerator="cpu", threads=1)))
    if variant.views is not None:
        views = views.select(range(variant.views))
    cached = CachedViews(views, learner.model.frame.channels, MemoryBudget(4.0), Cells.of(learner.model))
    lesson, learn = Lesson(learner, cached, config.batch), variant.learn or learn_whole
    times = []
    total = round(steps * variant.steps)
    for step in range(total):
        if variant.loss is not None:
            learner_loss(variant.loss(step / total))
        began = time.perf_counter()
        learn(lesson, step, config.rate.at(step, step / total))
        times.append(time.perf_counter() - began)
    learner_loss(image_loss)
    model = learner.average.model()
    return {
        "test_psnr": mean_psnr(model, run.scene.test),
        "pseudo_psnr": mean_psnr(model, held_out),
        "step_ms": 1e3 * statistics.median(times),
        "gmac": count_macs(model) / 1e9,
        "parameters": count_parameters(model),
        "steps": total,
    }


def learner_loss(loss: Callable[..., Tensor]) -> None:
    from nelf.train import learner

    learner.image_loss = loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with pseudo views that have depth")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(options.run, [])
    pseudo = rendered_scene(run).train
    learnt = pseudo.select([i for i in range(len(pseudo)) if i % HELD_OUT])
    held_out = pseudo.select(range(0, len(pseudo), HELD_OUT))
    kept = options.out / "variants.json"
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    print("| arm | test PSNR | pseudo PSNR | ms a step | GMAC | parameters | steps |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.only:
        if name not in results:
            results[name] = train(Run.open(options.run, []), ARMS[name], options.steps, learnt, held_out)
            write_json(kept, results)
        r = results[name]
        print(
            f"| {name} | {r['test_psnr']:.2f} | {r['pseudo_psnr']:.2f} | {r['step_ms']:.0f} | {r['gmac']:.3f} | "
            f"{r['parameters']:,} | {r['steps']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
