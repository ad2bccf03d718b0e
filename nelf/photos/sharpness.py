"""How sharp a picture is, whatever it shows: 1 minus the blur of Crete et al., "The blur effect", 2007."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

REACH = 4  # pixels on each side that the comparison picture is averaged over: the 9-tap filter of the paper
BLURRED = 0.35  # sharpness below which a photo gives few features that two photos have in common


def sharpness(grey: Float[np.ndarray, "height width"]) -> float:
    """In [0, 1], over both directions the worse: a picture that is blurred already loses little by more blur."""
    values = []
    for picture in (grey, grey.T):
        detail = np.abs(np.diff(picture, axis=1))
        lost = np.maximum(detail - np.abs(np.diff(_averaged(picture), axis=1)), 0)
        values.append(float(lost.sum() / max(detail.sum(), 1e-9)))
    return min(values)


def to_grey(image: UInt8[np.ndarray, "height width channels"], longest: int) -> Float[np.ndarray, "h w"]:
    """Brightness in [0, 255], reduced such that the longest side is at most `longest`."""
    picture = Image.fromarray(image[..., :3]).convert("L")
    factor = max(1, -(-max(picture.size) // longest))
    return np.asarray(picture.reduce(factor), dtype=np.float32)


def _averaged(picture: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Mean over 2 x REACH + 1 pixels of each row; borders repeat."""
    wide = np.pad(picture.astype(np.float64), ((0, 0), (REACH + 1, REACH)), mode="edge")
    sums = wide.cumsum(axis=1)
    window = 2 * REACH + 1
    return (sums[:, window:] - sums[:, :-window]) / window
