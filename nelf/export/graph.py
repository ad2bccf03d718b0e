"""The exported function: camera pose in, image out, with intrinsics and image size fixed."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.export.encoding import NdcEncoding, SeparatedEncoding
from nelf.export.network import TO_LAST, Layout, rebuild
from nelf.export.surface import SurfaceGraph
from nelf.student import NeLF

INPUT = "pose"
OUTPUT = "image"


class ExportGraph(nn.Module):
    """`pose` [1, 3, 4] to `image` [1, height, width, channels], both float32.

    dtype: of everything after the trigonometry. BatchNorm is folded, so the student must have been trained or loaded.
    """

    def __init__(self, model: NeLF, layout: Layout = Layout.CHANNELS_FIRST, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.layout = layout
        encoding = SeparatedEncoding.of if model.separable else NdcEncoding
        self.encoding = encoding(model, layout, dtype)
        self.body = rebuild(model.body, layout).to(dtype)
        self.surface = SurfaceGraph(model, layout, dtype) if model.has_surface else None
        self.upsampler = nn.Identity() if model.has_surface else rebuild(model.upsampler, layout).to(dtype)
        self.top, self.left = model.top, model.left
        self.height, self.width = model.frame.height, model.frame.width
        self.eval().requires_grad_(False)

    def network(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 a b c"]:
        """The image of the whole grid of rays, in the graph's layout."""
        encoded = self.encoding(pose)
        if self.surface is None:
            return self.upsampler(self.body(encoded))
        lines = self.surface.lines(pose)  # before the network, beside the other phases
        return self.surface(self.body(encoded), lines)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 height width channels"]:
        image = self.network(pose)
        if self.layout is Layout.CHANNELS_FIRST:
            image = image.permute(TO_LAST)
        if image.shape[1:3] != (self.height, self.width):
            image = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        return image.float()


class PixelGraph(ExportGraph):
    """`pose` [1, 3, 4] to `image` [1, 3, height, width]: RGB in whole numbers from 0 to 255, float32.

    What a runtime can turn into a picture, which has no alpha: an image that has is put over `background`. The numbers
    are whole already, so that it does not matter whether the runtime rounds or cuts.
    """

    background: Tensor

    def __init__(self, model: NeLF, background: tuple[float, float, float]) -> None:
        super().__init__(model)
        self.register_buffer("background", torch.tensor(background).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 3 height width"]:
        image = self.network(pose)
        if image.shape[2:] != (self.height, self.width):
            image = image[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        if image.shape[1] == 4:
            image = image[:, :3] + (1 - image[:, 3:]) * self.background
        return (image.clamp(0, 1) * 255).round()
