"""Quality and speed of each precision: quality on a trained scene, size and speed of LiteRT files at 800x800.

    python benchmarks/export.py quality runs/stilllife
    python benchmarks/export.py speed

`quality` exports the run's student in every precision (even if it loses too much) and prints size and PSNR on all test
views. `speed` times untrained networks, MobileR2L and our default preset, in turns: a straight conversion of the
network with prepared rays as input; our file, which takes a pose; its int8 form with every layer in integers; and the
encoding of rays alone, if there is one. (Random weights say nothing about the loss in 8 bits, so no layer is kept in
float.) Times need an idle machine; `--threads` sets the threads of torch and LiteRT.
"""

import argparse
import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.encoding import encoding_of
from benchmarks.full_size import cameras, untrained
from benchmarks.turns import in_turns
from nelf.bundle import Manifest
from nelf.bundle.bundle import render
from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.evaluate import to_8bit
from nelf.export import TARGETS, CalibrationViews, Conversions, ExportGraph, export_bundle, litert
from nelf.export.litert import quantize
from nelf.pipeline import Run, compose_config, typed
from nelf.pipeline.export_stage import bundle_context
from nelf.runtime import open_model
from nelf.student import Student, load_student

EXPERIMENT = "paper/synthetic"  # 800x800, RGBA
NETWORKS = {"MobileR2L": ["student=mobiler2l"], "default preset m": ["student=m"]}


def quality(folder: Path) -> None:
    run = Run.open(folder, [])
    run.config.export = dataclasses.replace(run.config.export, golden_views=max(8, len(run.scene.test)), force=True)
    student, context = load_student(folder / "student" / "student.safetensors"), bundle_context(run)
    print("| target | precision | MB | of fp16 | least to PyTorch | to photos | PyTorch's | lost | layers |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        for name, target in TARGETS.items():
            if target.extra_files:  # another target's file with a viewer
                continue
            made: dict[str, Manifest] = {}
            conversions: Conversions = {}
            for precision in target.forms:
                try:
                    bundle = Path(temporary) / f"{name}-{precision}"
                    made[precision] = export_bundle(
                        student, name, precision, context, run.config.export, bundle, conversions=conversions
                    )
                except ExportError as error:
                    print(f"| {name} | {precision} | {error} |")
            for precision, manifest in made.items():
                print(f"| {name} | {precision} | {row(manifest, made['fp16'])} |", flush=True)


def row(manifest: Manifest, half: Manifest) -> str:
    shown, size, of_half = manifest.quality, manifest.model.bytes, half.model.bytes
    assert shown is not None
    assert size is not None
    assert of_half is not None
    rungs = manifest.quantization.rungs() if manifest.quantization else ""
    return (
        f"{size / 1e6:.2f} | {100 * size / of_half:.0f} % | {manifest.parity.psnr_min:.1f} | {shown.psnr:.2f} | "
        f"{shown.pytorch_psnr:.2f} | {shown.drop_db:.3f} | {rungs}"
    )


def speed(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        for name, overrides in NETWORKS.items():
            config = typed(compose_config(["scene.path=nowhere", f"experiment={EXPERIMENT}", *overrides]))
            model = untrained(EXPERIMENT, config).eval()
            folder = Path(temporary) / name.replace(" ", "_")
            folder.mkdir()
            report(name, model, folder, repeats)


def report(name: str, model: Student, folder: Path, repeats: int) -> None:
    graph = ExportGraph(model, TARGETS["android"].layout)
    pose = cameras(EXPERIMENT, 1)
    encoding = encoding_of(graph)
    parts = {} if encoding is None else {"encoding": encoding}
    paths = {part: folder / f"{part}.tflite" for part in ("straight", "ours", "int8", *parts)}
    rays = straight(model, pose, paths["straight"])
    litert.convert(graph, paths["ours"])
    for part, module in parts.items():
        litert.convert(module, paths[part])
    paths["int8"].write_bytes(paths["ours"].read_bytes())
    # Random weights say nothing about the loss of trained ones in 8 bits: keep no layer in float for it.
    found = quantize(paths["int8"], "int8", some_photos(model, paths["ours"]), allowed_drop=math.inf)
    ms = in_turns(
        {
            "straight": runner(paths["straight"], rays),
            **{part: runner(paths[part], pose) for part in ("ours", "int8", *parts)},
        },
        repeats,
    )
    sizes = ", ".join(f"{part} {path.stat().st_size / 1e6:.2f} MB" for part, path in paths.items())
    size, threads = f"{model.frame.width}x{model.frame.height}", torch.get_num_threads()
    print(f"## {name}, {size}, LiteRT, {threads} threads, median of {repeats} runs in turns\n")
    print("\n".join(f"- {part}: {value:.1f} ms" for part, value in ms.items()))
    print(f"- ours / straight (which gets its rays prepared): {ms['ours'] / ms['straight']:.3f}")
    print(f"- fp32 / int8: {ms['ours'] / ms['int8']:.2f} (untrained: no layer kept back; {found.rungs()})")
    for part in parts:
        print(f"- {part}: {100 * ms[part] / ms['ours']:.2f} % of the fp32 file's time")
    print(f"- {sizes}\n", flush=True)


class Prepared(nn.Module):
    """The network without the preparation of its rays."""

    def __init__(self, model: Student) -> None:
        super().__init__()
        self.model = model

    def forward(self, rays: Tensor) -> Tensor:
        return self.model.predict(rays).image


@torch.no_grad()
def straight(model: Student, pose: Tensor, path: Path) -> Tensor:
    """What a user of litert-torch would do at best: the network as it is, channels last at both ends.

    Returns the rays that the file takes.
    """
    rays = model.prepare(pose, torch.tensor(model.frame.intrinsics)[None])
    images = [0] if encoding_of(ExportGraph(model)) is not None else []  # encoded points have their channels first
    given = rays.permute(0, 2, 3, 1).contiguous() if images else rays
    # A converter cannot read kernels compiled for the CPU: use the readable forms.
    with captured_output("the straight conversion"), mock.patch.dict("nelf.kernels.dispatch._KERNELS", clear=True):
        import litert_torch

        wrapped = litert_torch.to_channel_last_io(Prepared(model), args=images, outputs=[0]).eval()
        litert_torch.convert(wrapped, (given,)).export(str(path))
    return given


def runner(path: Path, values: Tensor) -> Callable[[], dict[str, Any]]:
    """The file as a function of an input."""
    model = open_model(path, torch.get_num_threads())
    (name,) = model.signatures[0]
    return functools.partial(model.run, {name: values.numpy()})


def some_photos(model: Student, path: Path, count: int = 2, noise: float = 0.03) -> CalibrationViews:
    """Photos that an untrained network matches at about 30 dB: its own pictures with noise."""
    loaded, poses = open_model(path, torch.get_num_threads()), cameras(EXPERIMENT, count)
    generator = torch.Generator().manual_seed(0)
    images = [render(loaded, pose) for pose in poses]
    return CalibrationViews(
        poses, tuple(to_8bit(i + noise * torch.randn(i.shape, generator=generator)) for i in images)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("quality").add_argument("run", type=Path, help="folder of a run with a trained student")
    timed = parts.add_parser("speed")
    timed.add_argument("--repeats", type=int, default=20)
    timed.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.part == "quality":
        quality(options.run)
    else:
        torch.set_num_threads(options.threads)
        speed(options.repeats)


if __name__ == "__main__":
    main()
