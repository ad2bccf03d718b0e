"""Small students with weights that give pictures of contrast, and cameras to look at them with."""

import torch
from torch import Tensor, nn

from nelf.cameras import look_at
from nelf.evaluate import to_8bit
from nelf.export import BundleContext, Photos
from nelf.student import Frame, Mapping, NeLF, StudentConfig

SIZE = (21, 28)  # the height is no multiple of 8


def around(count: int, seed: int = 0) -> Tensor:
    """Cameras on a sphere of radius 4, looking about the origin: [count, 3, 4]."""
    generator = torch.Generator().manual_seed(seed)
    eye = 4 * nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return look_at(eye, 0.2 * torch.randn(count, 3, generator=generator), torch.tensor([0.0, 0.0, 1.0]))


def ahead(count: int, seed: int = 0) -> Tensor:
    """Cameras side by side that look roughly along -z: [count, 3, 4]."""
    generator = torch.Generator().manual_seed(seed)
    eye = 0.3 * torch.randn(count, 3, generator=generator)
    target = torch.tensor([0.0, 0.0, -4.0]) + 0.5 * torch.randn(count, 3, generator=generator)
    return look_at(eye, target, torch.tensor([0.0, 1.0, 0.0]))


def student(
    body: str = "conv3x3",
    mapping: str = "linear",
    channels: int = 3,
    size: tuple[int, int] = SIZE,
    factor: int = 8,
    width: int = 8,
    upsampler: str = "shuffle",
    tail_octaves: int = 8,
) -> NeLF:
    """A student in eval mode; `pointwise` gets MobileR2L's upsampler, the others `upsampler`. BatchNorm is not idle."""
    torch.manual_seed(0)
    config = StudentConfig(
        name=body,
        points=4,
        octaves=4,
        body=body,
        width=width,
        blocks=1,
        upsampler="transposed" if body == "pointwise" else upsampler,
        factor=factor,
        tail_width=8,
        tail_blocks=1,
        tail_octaves=tail_octaves,
    )
    poses = around(16) if mapping == "linear" else ahead(16)
    height, columns = size
    intrinsics = torch.tensor([0.9 * columns, 0.95 * columns, columns / 2 + 0.7, height / 2 - 0.3])
    frame = Frame.around(
        poses,
        intrinsics.expand(len(poses), 4),
        size,
        channels,
        2.0 if mapping == "linear" else 1.0,
        6.0,
        torch.tensor([0.1, 0.05, -0.1]),
        1.5,
        Mapping(mapping),
    )
    model = NeLF(config, frame).train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
        for _ in range(3):
            model(poses)  # running statistics
        last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
        last.weight.mul_(30 if model.has_surface else 15)  # as much contrast behind one hidden layer more
    return model.eval()


def usual() -> NeLF:
    """As the default preset is built, RGBA."""
    return student("pyramid", channels=4, upsampler="surface", tail_octaves=3)


@torch.no_grad()
def photos(model: NeLF, poses: Tensor, noise: float = 0.05) -> Photos:
    """What a camera saw: the student's pictures on white, but for an error as a student has one."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for pose in poses:
        image = model(pose[None])[0].permute(1, 2, 0)
        images.append(to_8bit(image + noise * torch.randn(image.shape, generator=generator)))
    return Photos(poses, tuple(images))


def context(mapping: str = "linear", name: str = "stilllife", model: NeLF | None = None) -> BundleContext:
    """What a run would say about such a student; of `model`, photos too."""
    poses = around if mapping == "linear" else ahead
    golden, names = poses(8, seed=1), tuple(f"r_{i}" for i in range(8))
    return BundleContext(
        name=name,
        kind="object" if mapping == "linear" else "forward-facing",
        up=torch.tensor([0.0, 0.0, 1.0]) if mapping == "linear" else torch.tensor([0.0, 1.0, 0.0]),
        focus=torch.zeros(3),
        near=2.0,
        far=6.0,
        background=(1.0, 1.0, 1.0),
        train=poses(16),
        golden=golden,
        golden_names=names,
        golden_photos={} if model is None else dict(zip(names, photos(model, golden).images, strict=True)),
        calibration=None if model is None else photos(model, poses(8, seed=5)),
        provenance={"checkpoint": "0" * 64, "config": {"train": {"steps": 1}}},
    )
