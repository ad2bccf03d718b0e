"""The interpreter of Core ML programs on coremltools' output. Single operations: test_mil_ops.py."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.export.coreml import palette
from nelf.runtime.coreml_program import Program
from nelf.runtime.coreml_values import UNFOLD
from tests.export.programs import converted

pytestmark = pytest.mark.slow

OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "unary": lambda x: x.sin() + x.cos() * x.tanh() - x.sigmoid() + x.exp() + functional.silu(x) + x.abs() + x.square(),
    "roots": lambda x: (x.abs() + 1).sqrt() + (x.abs() + 1).rsqrt() + (x.abs() + 1).log(),
    "rounding": lambda x: x.floor() + x.ceil() + x.round() + x.sign(),
    "rectifiers": lambda x: x.relu() + functional.relu6(x) + functional.leaky_relu(x, 0.2) + functional.elu(x, 0.7),
    "hard": lambda x: functional.hardsigmoid(x) + functional.hardswish(x) + functional.softplus(x),
    "erf": lambda x: x.erf(),
    "gelu": lambda x: functional.gelu(x),
    "clip": lambda x: x.clamp(-0.5, 0.7),
    "binary": lambda x: (x + 2) * x - x / (x.abs() + 1),
    "extremes": lambda x: torch.maximum(x, x.flip(1)) + torch.minimum(x, 0.1 * x),
    "power": lambda x: (x.abs() + 0.1) ** 1.7,
    "where": lambda x: torch.where(x > 0, x, -2 * x),
    "softmax": lambda x: torch.softmax(x, dim=1),
    "means": lambda x: x.mean((2, 3), keepdim=True) + x.amax(1, keepdim=True),
    "sums": lambda x: x.sum(1) + x.amin(1),
    "reshape": lambda x: x.reshape(2, -1, 6).permute(2, 0, 1),
    "squeeze": lambda x: x[:, :1].squeeze(1).unsqueeze(0),
    "concat": lambda x: torch.cat([x, 2 * x], dim=1),
    "stack": lambda x: torch.stack([x, 3 * x], dim=2),
    "split": lambda x: torch.split(x, [3, 5], dim=1)[1] * torch.chunk(x, 2, dim=1)[0].mean(1, keepdim=True),
    "slices": lambda x: x[:, 1:7:2, 2:, :-1],
    "select": lambda x: x[:, -1],
    "tile": lambda x: x.repeat(1, 2, 1, 3),
    "gather": lambda x: x[:, torch.tensor([3, 0, 0])],
    "pad constant": lambda x: functional.pad(x, (1, 2, 0, 3), value=0.3),
    "pad reflect": lambda x: functional.pad(x, (1, 2, 2, 1), mode="reflect"),
    "pad edge": lambda x: functional.pad(x, (1, 2, 2, 1), mode="replicate"),
    "pixel shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "max pool": lambda x: functional.max_pool2d(x, 3, 2, 1),
    "max pool, ceil": lambda x: functional.max_pool2d(x, 2, 2, ceil_mode=True),
    "avg pool": lambda x: functional.avg_pool2d(x, 3, 2, 1),
    "avg pool, no padding counted": lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "nearest": lambda x: functional.interpolate(x, scale_factor=2, mode="nearest"),
    "bilinear": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    "bilinear centres": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    "matmul": lambda x: x @ x.mT,
    "matmul constant": lambda x: x.flatten(2) @ torch.linspace(-1, 1, 30 * 4).reshape(30, 4),
}
LAYERS: dict[str, nn.Module] = {
    "conv": nn.Conv2d(8, 5, 3),
    "conv strided": nn.Conv2d(8, 5, (3, 2), stride=(2, 1), padding=(1, 2)),
    "conv dilated": nn.Conv2d(8, 5, 2, dilation=(2, 3)),
    "conv grouped": nn.Conv2d(8, 12, 3, padding=1, groups=4, bias=False),
    "conv same": nn.Conv2d(8, 5, (5, 3), padding="same"),
    "conv 1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(8, 3, 5, padding=2)),
    "transposed": nn.ConvTranspose2d(8, 5, 4, 2, 1),
    "transposed, times three": nn.ConvTranspose2d(8, 5, 3, 3),
    "transposed, longer output": nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1, groups=2, bias=False),
    "linear": nn.Sequential(nn.Flatten(2), nn.Linear(30, 7)),
    "batch norm": nn.BatchNorm2d(8),
    "instance norm": nn.InstanceNorm2d(8, affine=True),
    "layer norm": nn.LayerNorm((5, 6)),
}


class Everything(nn.Module):
    """All operations in one program: a conversion takes longer than running them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LAYERS.values())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (*(f(x) for f in OPERATIONS.values()), *(layer(x) for layer in self.layers))


@pytest.fixture(scope="module")
def everything() -> nn.Module:
    torch.manual_seed(0)
    module = Everything().train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(2, 8, 5, 6) + 0.3)
    return module.eval()


@pytest.mark.parametrize("half", [False, True])
@torch.no_grad()
def test_what_coremltools_makes_of_torch(everything: nn.Module, half: bool, tmp_path: Path) -> None:
    x = torch.randn(1, 8, 5, 6)
    program = Program(converted(everything, x, tmp_path / "all.mlpackage", half))
    results = program.run({"x": x})
    wrong = {}
    for name, key, reference in zip([*OPERATIONS, *LAYERS], program.outputs, everything(x), strict=True):
        assert results[key].shape == reference.shape, name
        # Float16 keeps 11 bits; sums of a few terms of size 1 to 10 lose two or three of them.
        error = float((results[key].float() - reference).abs().max() / reference.abs().max().clamp_min(1))
        if not error <= (6e-3 if half else 2e-6):
            wrong[name] = error
    rounding = {"rounding"} if half else set()  # x in half precision may lie on the other side of a step
    assert not wrong.keys() - rounding, wrong


@pytest.mark.parametrize("shape", [(1, 8, 5, 6), (2, 8, 9, 4)])
@torch.no_grad()
def test_declared_precision_is_kept(shape: tuple[int, ...], tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(8, 4, 1), nn.GELU()).eval()
    x = torch.randn(shape)
    program = Program(converted(module, x, tmp_path / "half.mlpackage", half=True))
    (result,) = program.run({"x": x}).values()
    torch.testing.assert_close(result, result.half().to(result.dtype), atol=0, rtol=0)
    assert not torch.equal(result.float(), module(x))


@torch.no_grad()
def test_a_network_of_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torchvision.models.mobilenet_v3_small(weights=None, num_classes=10).eval()
    x = torch.randn(1, 3, 64, 64)
    program = Program(converted(module, x, tmp_path / "other.mlpackage"))
    (result,) = program.run({"x": x}).values()
    reference = module(x)
    torch.testing.assert_close(result, reference, atol=1e-5 * float(reference.abs().max()), rtol=0)


def compressors() -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """name -> lowest iOS version, and the function that compresses a model's weights."""
    import coremltools.optimize.coreml as cto

    def linear(**how: Any) -> Callable[[Any], Any]:
        config = cto.OpLinearQuantizerConfig(weight_threshold=100, **how)
        return lambda model: cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))

    def palettes(bits: int, **how: Any) -> Callable[[Any], Any]:
        config = cto.OpPalettizerConfig(
            mode="custom", lut_function=partial(palette, bits=bits), weight_threshold=100, **how
        )
        return lambda model: cto.palettize_weights(model, cto.OptimizationConfig(global_config=config))

    def sparse(model: Any) -> Any:
        config = cto.OpMagnitudePrunerConfig(target_sparsity=0.02, weight_threshold=100)
        return cto.prune_weights(model, cto.OptimizationConfig(global_config=config))

    return {
        "affine": ("16", linear(mode="linear")),
        "symmetric": ("16", linear(mode="linear_symmetric")),
        "palette of 6 bits": ("16", palettes(6)),
        "sparse": ("16", sparse),
        "blocks of 8 bits": ("18", linear(mode="linear", granularity="per_block", block_size=4)),
        "blocks of 4 bits": (
            "18",
            linear(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=4),
        ),
        "palettes of groups": ("18", palettes(4, granularity="per_grouped_channel", group_size=8)),
        "palettes with scales": ("18", palettes(6, enable_per_channel_scale=True)),
    }


def _agrees_with_coremltools(program: Program) -> None:
    """Compare with coremltools' own functions, if they can unfold it."""
    for op in program.operations:
        if op.op_type.startswith("constexpr_") and all(
            v is None or v.op.op_type == "const" for v in op.inputs.values()
        ):
            theirs = torch.from_numpy(np.array(op.materialized_val_inference()))
            ours = program._constants[op.outputs[0].name]
            torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", compressors())
@torch.no_grad()
def test_compressed_weights(name: str, tmp_path: Path) -> None:
    deployment, compress = compressors()[name]
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 1)).eval()
    x = torch.randn(1, 16, 6, 6)
    path = converted(module, x, tmp_path / "full.mlpackage", deployment=deployment)
    with captured_output("compressing"):
        import coremltools as ct

        model = ct.models.MLModel(str(path), skip_model_load=True)
        compress(model).save(str(tmp_path / "small.mlpackage"))
    program = Program(tmp_path / "small.mlpackage")
    assert any(op.op_type.startswith("constexpr_") for op in program.operations)
    (result,) = program.run({"x": x}).values()
    _agrees_with_coremltools(program)
    error = float((result - module(x)).square().mean().sqrt() / module(x).std())
    bits = 4 if "4" in name or "groups" in name else 6
    # Evenly spread weights in 2^b steps are off by 2^-b of their own deviation, and so is a sum of many.
    assert 0 < error < 2 * 2**-bits


def test_unknown_operation_is_named(tmp_path: Path) -> None:
    class Cumulative(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.cumsum(1)

    path = converted(Cumulative(), torch.randn(1, 4), tmp_path / "cumsum.mlpackage")
    with pytest.raises(ExportError, match=r"cumsum.mlpackage holds operations .* not know: cumsum"):
        Program(path)


def test_palette_finds_what_is_there() -> None:
    values = np.array([-2.5, -0.25, 0.0, 0.125, 0.5, 1.0, 3.0, 4.0], np.float16)
    weights = np.random.default_rng(0).choice(values, (5, 7, 3, 3))
    found, indices = palette(weights, bits=3)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found[indices].reshape(weights.shape), weights)


@pytest.mark.parametrize("bits", [4, 6])
def test_palette_is_better_than_even_steps(bits: int) -> None:
    weights = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    found, indices = palette(weights, bits)
    error = float(np.square(found[indices] - weights).mean())
    # Panter and Dite: sqrt(3) pi / 2 / 4^bits of the variance is what the best palette of many values leaves.
    best = np.sqrt(3) * np.pi / 2 / 4**bits
    assert error < 1.1 * best


def test_palettes_of_vectors_are_refused_in_one_line() -> None:
    inputs = {"indices": np.zeros((2, 2), np.uint8), "lut": np.zeros((1, 1, 4, 2), np.float32)}
    with pytest.raises(ExportError, match="palette of vectors of 2 values"):
        UNFOLD["constexpr_lut_to_dense"](inputs)
