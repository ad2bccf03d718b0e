"""Rebuild layers for inference: BatchNorm folded, layout chosen, nothing left for a converter to guess.

There are two layouts. Core ML and ONNX compute channels first. LiteRT computes channels last: there each convolution
stands between two permutations that undo the converter's own. Everything else runs channels last, so the file holds no
layout copy.
"""

import enum
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nelf.core.errors import ExportError

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)

Convolution = nn.Conv2d | nn.ConvTranspose2d


class Layout(enum.Enum):
    """Axis order of an image-like tensor; the value is the index of the channel axis."""

    CHANNELS_FIRST = 1
    CHANNELS_LAST = 3


@runtime_checkable
class Deployable(Protocol):
    """One of our modules, which knows its own form for inference."""

    def deploy(self, layout: Layout) -> nn.Module:
        """A copy for inference with input and output in `layout`. Its weights are new tensors."""


class Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class CroppedSkip(nn.Module):
    """x + f(x); crops f(x) by a row or a column if it is larger."""

    def __init__(self, inner: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.inner = inner
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        more = self.inner(x)
        if more.shape != x.shape:
            first = 2 if self.layout is Layout.CHANNELS_FIRST else 1
            more = more.narrow(first, 0, x.shape[first]).narrow(first + 1, 0, x.shape[first + 1])
        return x + more


class ChannelsLastConvolution(nn.Module):
    """A convolution with channels-last input and output."""

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h2 w2 c2"]:
        return self.convolution(x.permute(TO_FIRST)).permute(TO_LAST)


class ChannelsLastShuffle(nn.Module):
    """Depth to space. Channels are ordered (row in cell, column in cell, channel), so one rank-4 transpose suffices.

    nn.PixelShuffle has the channel first; `rebuild` reorders the convolution before it.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "n h w cells"]) -> Float[Tensor, "n h2 w2 c"]:
        batch, height, width, channels = x.shape
        x = x.reshape(batch * height, width, self.factor, channels // self.factor).transpose(1, 2)
        return x.reshape(batch, height * self.factor, width * self.factor, channels // self.factor**2)


def rebuild(module: nn.Module, layout: Layout) -> nn.Module:
    """A copy of a student's `module` for inference, with input and output in `layout`. Its weights are new tensors.

    Our own modules define it by their method `deploy(layout)`. Raises ExportError for a module without one.
    """
    if isinstance(module, Deployable):
        return module.deploy(layout)
    if isinstance(module, nn.Sequential):
        return _rebuild_sequence(list(module), layout)
    if isinstance(module, nn.GELU | nn.ReLU | nn.Sigmoid):
        return module  # without weights, safe to share
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return _convolution(_copy(module), layout)
    raise ExportError(f"the student holds a {type(module).__name__}, which lacks the method deploy")


def _rebuild_sequence(modules: list[nn.Module], layout: Layout) -> nn.Sequential:
    layers: list[nn.Module] = []
    while modules:
        module = modules.pop(0)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            convolution = _copy(module)
            after = modules[0] if modules else None
            if isinstance(after, nn.BatchNorm2d):
                convolution = _folded(convolution, after)
                modules.pop(0)
                after = modules[0] if modules else None
            if isinstance(after, nn.PixelShuffle) and layout is Layout.CHANNELS_LAST:
                reordered = _cells_first(convolution, after.upscale_factor)
                layers += [_convolution(reordered, layout), ChannelsLastShuffle(after.upscale_factor)]
                modules.pop(0)
            else:
                layers.append(_convolution(convolution, layout))
        elif isinstance(module, nn.PixelShuffle) and layout is Layout.CHANNELS_FIRST:
            layers.append(module)
        else:
            layers.append(rebuild(module, layout))
    return nn.Sequential(*layers)


def pointwise(
    weight: Float[Tensor, "out channels"], layout: Layout, bias: Float[Tensor, "out"] | None = None
) -> nn.Module:
    """The 1x1 convolution that multiplies each pixel's channels by `weight`."""
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    convolution.weight.data = weight[:, :, None, None].clone()
    if convolution.bias is not None and bias is not None:
        convolution.bias.data = bias.clone()
    return _convolution(convolution.eval().requires_grad_(False), layout)


def _convolution(convolution: Convolution, layout: Layout) -> nn.Module:
    return ChannelsLastConvolution(convolution) if layout is Layout.CHANNELS_LAST else convolution


def _copy(convolution: Convolution) -> Convolution:
    """The same convolution on the CPU in float32; shares nothing."""
    options = {name: getattr(convolution, name) for name in ("kernel_size", "stride", "padding", "dilation", "groups")}
    if isinstance(convolution, nn.ConvTranspose2d):
        options["output_padding"] = convolution.output_padding
    twin = type(convolution)(
        convolution.in_channels, convolution.out_channels, bias=convolution.bias is not None, **options
    )
    twin.load_state_dict({k: v.detach().cpu().float() for k, v in convolution.state_dict().items()})
    return twin.eval().requires_grad_(False)


def _folded(convolution: Convolution, norm: nn.BatchNorm2d) -> Convolution:
    """Convolution with the running statistics of the BatchNorm after it folded in; computed in float64."""
    twin = nn.BatchNorm2d(norm.num_features, norm.eps)
    twin.load_state_dict({k: v.detach().cpu() for k, v in norm.state_dict().items()})
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    fused = fuse_conv_bn_eval(convolution.double(), twin.double().eval(), transpose=transposed)
    return fused.float().requires_grad_(False)


def _cells_first(convolution: Convolution, factor: int) -> Convolution:
    """Reorder output channels from PixelShuffle's (channel, row, column) to (row, column, channel)."""
    if not isinstance(convolution, nn.Conv2d) or convolution.groups != 1:
        raise ExportError("a PixelShuffle must follow an ordinary convolution")
    order = torch.arange(convolution.out_channels).reshape(-1, factor, factor).permute(1, 2, 0).flatten()
    convolution.weight.data = convolution.weight.data[order].contiguous()
    if convolution.bias is not None:
        convolution.bias.data = convolution.bias.data[order].contiguous()
    return convolution
