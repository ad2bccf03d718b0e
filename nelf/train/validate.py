"""How good the student is on views that it does not learn from."""

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.student import Student
from nelf.train.feed import CachedViews
from nelf.train.losses import over_white, premultiplied, psnr


@torch.no_grad()
def validate(model: Student, views: CachedViews, batch: int) -> tuple[float, Float[Tensor, "3 h w2"]]:
    """Mean PSNR of all views in dB (RGBA on white), and the first view: prediction left, truth right."""
    device = next(model.parameters()).device
    values: list[Tensor] = []
    picture: Tensor | None = None
    for start in range(0, len(views), batch):
        part = views.batch(range(start, min(start + batch, len(views))))
        predicted = model(part.c2w.to(device), part.intrinsics.to(device))
        truth = premultiplied(part.images.to(device))
        values.append(psnr(predicted, truth))
        if picture is None:
            picture = torch.cat([over_white(predicted[:1]), over_white(truth[:1])], dim=3)[0].clamp(0, 1).cpu()
    assert picture is not None, "no views to validate on"
    return float(torch.cat(values).cpu().double().mean()), picture
