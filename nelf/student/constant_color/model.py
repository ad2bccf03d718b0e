"""The network of one colour a cell: what a student must say of itself, in its shortest form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student.constant_color import ConstantColorConfig
from nelf.student.deploy import Layout, rebuild
from nelf.student.geometry import SceneGeometry
from nelf.student.protocol import Prediction, Student

INITIAL_SPREAD = 0.1  # standard deviation of untrained weights: a picture of little contrast, not one flat colour


class ConstantColor(Student):
    """sigmoid(colors[cell] + tint(viewing direction)), the same for all pixels of a cell.

    Its rays are the camera's viewing direction alone, [batch, 3]. The tint is why the image depends on the pose.
    """

    config: ConstantColorConfig

    def __init__(self, config: ConstantColorConfig, frame: SceneGeometry) -> None:
        super().__init__(config, frame)
        self.grid = math.ceil(frame.height / config.cell_size), math.ceil(frame.width / config.cell_size)
        self.colors = nn.Parameter(INITIAL_SPREAD * torch.randn(frame.channels, *self.grid))
        self.tint = nn.Conv2d(3, frame.channels, 1)
        nn.init.normal_(self.tint.weight, std=INITIAL_SPREAD)

    @property
    def margins(self) -> tuple[int, int]:
        rows, columns = (cells * self.config.cell_size for cells in self.grid)
        return (rows - self.frame.height) // 2, (columns - self.frame.width) // 2

    def prepare(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch 3"]:
        return -c2w[:, :, 2]

    def predict(self, rays: Float[Tensor, "batch 3"]) -> Prediction:
        cells = torch.sigmoid(self.colors + self.tint(rays[:, :, None, None]))
        size = self.config.cell_size
        return Prediction(self.crop(cells.repeat_interleave(size, 2).repeat_interleave(size, 3)), None)

    def deploy(self, layout: Layout, dtype: torch.dtype) -> nn.Module:
        return DeployedConstantColor(self, layout, dtype)


class DeployedConstantColor(nn.Module):
    """`pose` [1, 3, 4] to the image of all cells, in `layout` and `dtype`.

    Cells become pixels by a 1x1 convolution of ones and a pixel shuffle: every accelerator has both.
    """

    colors: Tensor

    def __init__(self, model: ConstantColor, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.dtype = layout, dtype
        channels, size = model.frame.channels, model.config.cell_size
        colors = model.colors.detach().cpu().to(dtype)[None]
        if layout is Layout.CHANNELS_LAST:
            colors = colors.permute(0, 2, 3, 1).contiguous()
        self.register_buffer("colors", colors, persistent=False)
        self.tint = rebuild(model.tint, layout).to(dtype)
        spread = nn.Conv2d(channels, channels * size**2, 1, bias=False)
        spread.weight.data = torch.eye(channels).repeat_interleave(size**2, 0)[:, :, None, None]
        self.to_pixels = rebuild(nn.Sequential(nn.Sigmoid(), spread, nn.PixelShuffle(size)), layout).to(dtype)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 a b c"]:
        back = pose.reshape(1, 1, 3, 4).narrow(3, 2, 1)  # four axes: LiteRT's GPU delegate slices no matrices
        shape = (1, 3, 1, 1) if self.layout is Layout.CHANNELS_FIRST else (1, 1, 1, 3)
        direction = -back.reshape(shape).to(self.dtype)
        image: Tensor = self.to_pixels(self.colors + self.tint(direction))
        return image
