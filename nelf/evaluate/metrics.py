"""Image metrics, all on 8-bit RGB pictures (composited over white before): `METRICS[name](picture, truth)`.

The figure of a model is the mean of its views' figures; so its PSNR is the mean of PSNRs, as the NeRF literature has
it, not the PSNR of the mean error. torchmetrics takes seconds to import, so the libraries are imported on first use.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.evaluate.lpips_network import Unavailable, lpips_distance

PSNR_CAP = 100.0  # dB, for (nearly) identical pictures: JSON has no infinity, and one such view must not rule the mean
SSIM_WINDOW = 11  # pixels; torchmetrics makes it from sigma as 2 * int(3.5 * 1.5 + 0.5) + 1
LPIPS_LEAST = 32  # pixels; below this AlexNet's pooling leaves nothing


def psnr(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 of the mean squared error over pixels and channels, capped at 100."""
    error = ((picture.double() - truth.double()) / 255).square().mean().item()
    return PSNR_CAP if error == 0 else min(-10 * math.log10(error), PSNR_CAP)


def ssim(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian of sigma 1.5, K1 0.01, K2 0.03, windows inside the
    picture, mean over pixels and channels."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(picture.shape[:2]) < SSIM_WINDOW:
        raise Unavailable(f"SSIM needs pictures of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels")
    # torchmetrics' own mean (1.9) takes in the border, where windows see mirrored pixels; the paper's does not
    _, values = structural_similarity_index_measure(
        _planes(picture), _planes(truth), sigma=1.5, data_range=1.0, return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return float(values[..., border:-border, border:-border].mean())


def flip(picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]) -> float:
    """Mean LDR-FLIP error (Andersson et al. 2020) at its default 67 pixels a degree: 0 is identical, 1 the worst."""
    from flip_evaluator import evaluate

    _, mean, _ = evaluate(_unit(truth).numpy(), _unit(picture).numpy(), "LDR", applyMagma=False, parameters={})
    return float(mean)


def flip_map(
    picture: UInt8[Tensor, "height width 3"], truth: UInt8[Tensor, "height width 3"]
) -> UInt8[Tensor, "height width 3"]:
    """The FLIP error of every pixel in the magma colours: black is none, light yellow the worst."""
    from flip_evaluator import evaluate

    error, _, _ = evaluate(_unit(truth).numpy(), _unit(picture).numpy(), "LDR", computeMeanError=False, parameters={})
    return (torch.from_numpy(error).clamp(0, 1) * 255).round().to(torch.uint8)


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
        raise Unavailable(f"LPIPS needs pictures of at least {LPIPS_LEAST}x{LPIPS_LEAST} pixels")
    return lpips_distance(backbone, _planes(picture), _planes(truth))


def _unit(picture: UInt8[Tensor, "height width 3"]) -> Float[Tensor, "height width 3"]:
    return picture.float() / 255


def _planes(picture: UInt8[Tensor, "height width 3"]) -> Float[Tensor, "1 3 height width"]:
    """NCHW in [0, 1]: what torchmetrics and lpips expect. Given NHWC they give a figure all the same, a wrong one."""
    return _unit(picture).permute(2, 0, 1)[None].contiguous()
