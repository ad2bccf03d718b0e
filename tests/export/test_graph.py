"""The exported graph against the network that it is made from."""

import pytest
import torch
from torch import nn

from nelf.errors import ExportError
from nelf.export.graph import ExportGraph
from nelf.export.network import Layout, rebuild
from tests.export.networks import ahead, around, student


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("mapping", ["linear", "disparity", "ndc"])
@pytest.mark.parametrize("body", ["pointwise", "conv3x3", "depthwise", "pyramid"])
@torch.no_grad()
def test_equals_the_student(body: str, mapping: str, layout: Layout) -> None:
    model = student(body, mapping, channels=4)
    poses = around(3, seed=2) if mapping == "linear" else ahead(3, seed=2)
    graph = ExportGraph(model, layout)
    for pose in poses:
        image, reference = graph(pose[None]), model(pose[None]).permute(0, 2, 3, 1)
        assert reference.std() > 0.05, "a flat picture proves nothing"
        # Float32: folding BatchNorm and, for NDC, the shorter formula round differently. The last layer is steep.
        torch.testing.assert_close(image, reference, atol=5e-6, rtol=0)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("mapping", ["linear", "disparity"])
@pytest.mark.parametrize(("factor", "size"), [(8, (21, 28)), (12, (24, 36)), (16, (17, 40))])
@torch.no_grad()
def test_equals_the_student_with_a_surface(mapping: str, layout: Layout, factor: int, size: tuple[int, int]) -> None:
    model = student("pyramid", mapping, channels=4, size=size, factor=factor, upsampler="surface")
    pose = around(1, seed=2) if mapping == "linear" else ahead(1, seed=2)
    image, reference = ExportGraph(model, layout)(pose), model(pose).permute(0, 2, 3, 1)
    assert reference.std() > 0.05, "a flat picture proves nothing"
    # The encoded phases are up to 2^7 times as wrong as the depth.
    torch.testing.assert_close(image, reference, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("body", "factor"), [("pointwise", 12), ("conv3x3", 4), ("pyramid", 8), ("conv3x3", 12), ("conv3x3", 16)]
)
@pytest.mark.parametrize("size", [(48, 96), (50, 61)])
@torch.no_grad()
def test_every_factor_and_crop(body: str, factor: int, size: tuple[int, int]) -> None:
    model = student(body, size=size, factor=factor)
    pose = around(1, seed=3)
    for layout in Layout:
        image = ExportGraph(model, layout)(pose)
        assert tuple(image.shape) == (1, *size, 3)
        torch.testing.assert_close(image, model(pose).permute(0, 2, 3, 1), atol=5e-6, rtol=0)


@torch.no_grad()
def test_half_precision_keeps_the_phase() -> None:
    model = student()
    pose = around(1, seed=4)
    encoded = ExportGraph(model, dtype=torch.float16).encoding(pose)
    reference = ExportGraph(model).encoding(pose)
    assert encoded.dtype is torch.float16
    # Two products of numbers below 1 and their sum, each rounded to 11 bits, and coordinates up to 4.
    torch.testing.assert_close(encoded.float(), reference, atol=3e-3, rtol=0)


@torch.no_grad()
def test_batch_norm_is_folded_after_transposed_convolution() -> None:
    layers = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, 2, 1), nn.BatchNorm2d(5), nn.GELU())
    layers.train()
    for _ in range(3):
        layers(torch.randn(2, 3, 6, 6))
    layers.eval()
    folded = rebuild(layers, Layout.CHANNELS_FIRST)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.randn(1, 3, 6, 6)
    torch.testing.assert_close(folded(x), layers(x), atol=1e-6, rtol=0)


def test_rebuilding_shares_no_weights() -> None:
    model = student("pointwise")
    pointers = {p.data_ptr() for p in model.parameters()}
    assert pointers.isdisjoint(p.data_ptr() for p in ExportGraph(model).parameters())


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ExportError, match="Dropout"):
        rebuild(nn.Sequential(nn.Dropout()), Layout.CHANNELS_FIRST)
