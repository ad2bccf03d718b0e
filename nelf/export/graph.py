"""The exported function: camera pose in, image out, with intrinsics and image size fixed."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student import Layout, Student
from nelf.student.deploy import TO_LAST

INPUT = "pose"
OUTPUT = "image"


class ExportGraph(nn.Module):
    """`pose` [1, 3, 4] to `image` [1, height, width, channels], both float32.

    dtype: of everything after the trigonometry. BatchNorm is folded, so the student must have been trained or loaded.
    """

    def __init__(
        self, model: Student, layout: Layout = Layout.CHANNELS_FIRST, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.layout = layout
        self.network = model.deploy(layout, dtype)
        self.top, self.left = model.margins
        self.height, self.width = model.frame.height, model.frame.width
        self.eval().requires_grad_(False)

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

    def __init__(self, model: Student, background: tuple[float, float, float]) -> None:
        super().__init__(model)
        self.register_buffer("background", torch.tensor(background).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 3 height width"]:
        image = self.network(pose)
        if image.shape[2:] != (self.height, self.width):
            image = image[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        if image.shape[1] == 4:
            image = image[:, :3] + (1 - image[:, 3:]) * self.background
        return (image.clamp(0, 1) * 255).round()
