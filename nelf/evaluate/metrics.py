"""8-bit pictures on white, which `eval/MODEL/VIEW.png` keeps and the report shows, and the metrics between them."""

import functools
import io
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from nelf.core.errors import NelfError, one_line
from nelf.core.files import write_bytes
from nelf.core.images import over_background, premultiplied_over, psnr_of, to_float, to_uint8
from nelf.evaluate.lpips_weights import read_lpips
from nelf.scene.scene import Views

MOST_PIXELS = 1 << 26  # in a picture to read: 8192 x 8192
# What Pillow raises on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, Image.DecompressionBombError)


def to_8bit(image: Float[Tensor, "height width channels"]) -> UInt8[Tensor, "height width 3"]:
    """A rendered image, RGB or premultiplied RGBA in [0, 1], composited over white and rounded to 8 bits."""
    return to_uint8(premultiplied_over(image))


def ground_truth(views: Views, index: int) -> UInt8[Tensor, "height width 3"]:
    """A stored view, RGB or straight RGBA, composited over white and rounded to 8 bits."""
    return to_uint8(over_background(to_float(views.image(index))))


def write_picture(path: Path, picture: UInt8[Tensor, "height width 3"]) -> None:
    """Write a PNG, atomically."""
    write_bytes(path, encode(picture, "png"))


def read_picture(path: Path, like: UInt8[Tensor, "height width 3"] | None = None) -> UInt8[Tensor, "height width 3"]:
    """Read a picture of an evaluation. like: a picture of the required size. Raises NelfError."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=["PNG"]) as image:
            if like is not None and (image.height, image.width) != like.shape[:2]:
                raise ValueError(f"it is {image.width}x{image.height}, not {like.shape[1]}x{like.shape[0]}")
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it claims {image.width}x{image.height} pixels")
            return torch.from_numpy(np.array(image.convert("RGB")))
    except DAMAGE as error:
        reason = one_line(error)
        raise NelfError(f"cannot read the picture {path}: {reason}; run `nelf eval` again") from error


def encode(picture: UInt8[Tensor, "height width 3"], format: str) -> bytes:
    """The bytes of a PNG or JPEG file."""
    stream = io.BytesIO()
    image = Image.fromarray(picture.numpy())
    if format == "jpeg":
        image.save(stream, format, quality=92, subsampling=0)
    else:
        image.save(stream, format)
    return stream.getvalue()


class MetricUnavailable(Exception):
    """A metric that cannot be measured here; the message is the reason."""


@torch.no_grad()
def lpips_distance(
    backbone: str, picture: Float[Tensor, "1 3 height width"], truth: Float[Tensor, "1 3 height width"]
) -> float:
    """LPIPS of two images in [0, 1]. Raises MetricUnavailable."""
    try:
        network = lpips_network(backbone)
    except NelfError as reason:
        raise MetricUnavailable(str(reason)) from reason
    return float(network(picture, truth, normalize=True))


@functools.cache
def lpips_network(backbone: str) -> nn.Module:
    """The network of the package lpips, with weights from the cache. Raises NelfError without them."""
    features = read_lpips(backbone)
    import lpips

    with warnings.catch_warnings(), torch.device("meta"):
        # lpips 0.1.4 uses `pretrained=`, which torchvision has deprecated since 0.13
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models\._utils")
        network: nn.Module = lpips.LPIPS(net=backbone, pretrained=False, pnet_rand=True, verbose=False)
    scaling = network.scaling_layer = lpips.ScalingLayer()
    linear_file = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{backbone}.pth"
    given = torch.load(linear_file, map_location="cpu", weights_only=True)
    given |= scaling.state_dict(prefix="scaling_layer.")
    for name in network.state_dict():
        if convolution := re.fullmatch(r"net\.slice\d+\.(\d+\.\w+)", name):
            given[name] = torch.from_numpy(features[convolution[1]])
        elif linear := re.fullmatch(r"lins\.(\d+)\.(.+)", name):  # lpips lists lin0, lin1, ... twice
            given[name] = given[f"lin{linear[1]}.{linear[2]}"]
    network.load_state_dict(given, strict=True, assign=True)
    return network.eval().requires_grad_(False)


PSNR_CAP = 100.0  # dB, for (nearly) identical pictures: JSON has no infinity, and one view must not dominate the mean
SSIM_WINDOW = 11  # pixels; torchmetrics computes it from sigma as 2 * int(3.5 * 1.5 + 0.5) + 1
LPIPS_LEAST = 32  # pixels; AlexNet's pooling leaves nothing of smaller images


def psnr(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 of the mean squared error over pixels and channels, capped at 100."""
    error = ((picture.double() - truth.double()) / 255).square().mean().item()
    return psnr_of(error, PSNR_CAP)


def ssim(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian of sigma 1.5, K1 0.01, K2 0.03, windows inside the
    picture, mean over pixels and channels."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(picture.shape[:2]) < SSIM_WINDOW:
        raise MetricUnavailable(f"SSIM needs pictures of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels")
    # torchmetrics' mean (1.9) includes the border, where windows see mirrored pixels; the paper's does not
    _, values = structural_similarity_index_measure(
        _planes(picture), _planes(truth), sigma=1.5, data_range=1.0, return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return float(values[..., border:-border, border:-border].mean())


def flip(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Mean LDR-FLIP error (Andersson et al. 2020) at the default 67 pixels per degree: 0 is identical, 1 the worst."""
    from flip_evaluator import evaluate

    _, mean, _ = evaluate(to_float(truth).numpy(), to_float(picture).numpy(), "LDR", applyMagma=False, parameters={})
    return float(mean)


def flip_map(
    picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]
) -> UInt8[Tensor, "height width 3"]:
    """The FLIP error of every pixel in magma colours: black is no error, light yellow the worst."""
    from flip_evaluator import evaluate

    error, _, _ = evaluate(
        to_float(truth).numpy(), to_float(picture).numpy(), "LDR", computeMeanError=False, parameters={}
    )
    return to_uint8(torch.from_numpy(error))


def lpips_alex(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """LPIPS 0.1 (Zhang et al. 2018) with AlexNet features."""
    return _lpips("alex", picture, truth)


def lpips_vgg(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """LPIPS 0.1 (Zhang et al. 2018) with VGG-16 features."""
    return _lpips("vgg", picture, truth)


Metric = Callable[[Tensor, Tensor], float]

METRICS: dict[str, Metric] = {
    "psnr": psnr,
    "ssim": ssim,
    "flip": flip,
    "lpips_alex": lpips_alex,
    "lpips_vgg": lpips_vgg,
}


def _lpips(backbone: str, picture: Tensor, truth: Tensor) -> float:
    if min(picture.shape[:2]) < LPIPS_LEAST:
        raise MetricUnavailable(f"LPIPS needs pictures of at least {LPIPS_LEAST}x{LPIPS_LEAST} pixels")
    return lpips_distance(backbone, _planes(picture), _planes(truth))


def _planes(picture: UInt8[Tensor, "height width 3"]) -> Float[Tensor, "1 3 height width"]:
    """NCHW in [0, 1], which torchmetrics and lpips expect. For NHWC they return a wrong value silently."""
    return to_float(picture).permute(2, 0, 1)[None].contiguous()
