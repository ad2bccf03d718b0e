"""The exported graph against its network."""

from typing import Any

import pytest
import torch
from torch import nn

from nelf.core.errors import ExportError
from nelf.export.graph import ExportGraph, PixelGraph
from nelf.student import STUDENTS
from nelf.student.blocks import HalfResolution, conv3x3_block, fused_block, pointwise_block, unet
from nelf.student.deploy import TO_FIRST, TO_LAST, Layout, rebuild
from nelf.student.hierarchical.model import CellDecoder
from nelf.student.ray_encoding import Encoding
from tests.export.networks import ahead, around, student


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("family", "mapping"),
    [
        *(("hierarchical", mapping) for mapping in ("linear", "disparity")),
        *(("mobiler2l", mapping) for mapping in ("linear", "disparity", "ndc")),
    ],
)
@torch.no_grad()
def test_equals_the_student(family: str, mapping: str, layout: Layout) -> None:
    model = student(family, mapping, channels=4)
    poses = around(3, seed=2) if mapping == "linear" else ahead(3, seed=2)
    graph = ExportGraph(model, layout)
    for pose in poses:
        image, reference = graph(pose[None]), model(pose[None]).permute(0, 2, 3, 1)
        assert reference.std() > 0.05, "a flat picture proves nothing"
        # Float32: folding BatchNorm and, for NDC, the shorter formula round differently. The last layer is steep.
        torch.testing.assert_close(image, reference, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mobiler2l", {"upscale_factor": 8}),
        ("mobiler2l", {"upscale_factor": 12}),
        *(("hierarchical", {"cell": cell}) for cell in (1, 2, 4)),
    ],
)
@pytest.mark.parametrize("size", [(48, 96), (50, 61)])
@torch.no_grad()
def test_every_cell_and_crop(family: str, changes: dict[str, Any], size: tuple[int, int]) -> None:
    model = student(family, size=size, **changes)
    pose = around(1, seed=3)
    for layout in Layout:
        image = ExportGraph(model, layout)(pose)
        assert tuple(image.shape) == (1, *size, 3)
        torch.testing.assert_close(image, model(pose).permute(0, 2, 3, 1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_pixels_are_whole_numbers_of_the_picture_on_its_background() -> None:
    model, pose, background = student(channels=4), around(1, seed=3), (1.0, 0.5, 0.25)
    pixels = PixelGraph(model, background)(pose)
    image = model(pose)
    expected = image[:, :3] + (1 - image[:, 3:]) * torch.tensor(background).reshape(1, 3, 1, 1)
    inside = (expected > 0.02) & (expected < 0.98)
    assert 0.1 < inside.float().mean() < 1, "untrained, its colours may be brighter than its alpha lets them"
    assert torch.equal(pixels, pixels.round())
    assert (pixels - 255 * expected.clamp(0, 1)).abs().max() < 0.51


def encoding_of(graph: ExportGraph) -> Encoding:
    (found,) = (module for module in graph.modules() if isinstance(module, Encoding))
    return found


@torch.no_grad()
def test_half_precision_keeps_the_phase() -> None:
    model = student("mobiler2l")
    pose = around(1, seed=4)
    encoded = encoding_of(ExportGraph(model, dtype=torch.float16))(pose)
    reference = encoding_of(ExportGraph(model))(pose)
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


@pytest.mark.parametrize("family", STUDENTS)
def test_rebuilding_shares_no_weights(family: str) -> None:
    model = student(family)
    pointers = {p.data_ptr() for p in model.parameters()}
    assert pointers.isdisjoint(p.data_ptr() for p in ExportGraph(model).parameters())


@torch.no_grad()
def test_every_block_deploys_in_both_layouts() -> None:
    """A block that cannot deploy fails here, not after a training. An odd size crops a U-Net's surplus rows."""
    torch.manual_seed(0)
    x = torch.randn(1, 6, 7, 9)
    blocks = [pointwise_block(6), conv3x3_block(6, 1), fused_block(6, 1), HalfResolution(6, 1, 1), unet(6, 6, 1)]
    blocks += [CellDecoder(2, 4, 8, decoder_blocks, 4, cell) for decoder_blocks, cell in ((1, 2), (0, 1))]
    for block in blocks:
        block.eval()
        if isinstance(block, CellDecoder):
            whole = nn.Sequential(block.narrow, block.paint)
            reference = block(x[:, :2], x[:, 2:])
        else:
            whole, reference = nn.Sequential(block), block(x)
        for layout in Layout:
            last = layout is Layout.CHANNELS_LAST
            found = rebuild(whole, layout)(x.permute(TO_LAST) if last else x)
            torch.testing.assert_close(found.permute(TO_FIRST) if last else found, reference, atol=1e-5, rtol=0)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ExportError, match="Dropout"):
        rebuild(nn.Sequential(nn.Dropout()), Layout.CHANNELS_FIRST)
