"""How far the view of a moving camera has changed: blocks of two frames compared by phase correlation.

Kuglin and Hines, "The phase correlation image alignment method", 1975. What an affine map explains of the blocks'
motion is turning, zooming and approaching; what it does not is parallax, which is what depths are told from.
"""

import numpy as np
from jaxtyping import Float

BLOCK = 64  # pixels
CLEAR = 0.08  # height of the correlation's peak below which a block's motion is not known
ENOUGH = 6  # blocks whose motion must be known
PARALLAX_WEIGHT = 3.0  # by how much a pixel of parallax changes the view more than a pixel of turning
RENEW = 10.0  # pixels of motion after which the next frame is the one to compare with
BLIND = 10  # frames that may pass unknown before the view counts as changed


class ViewChange:
    """Adds up the change. Frames are compared with one some way back: slow motion is not lost to rounding."""

    def __init__(self) -> None:
        self.reference: Float[np.ndarray, "height width"] | None = None
        self.before = 0.0  # change up to the reference
        self.now = 0.0
        self.unknown = 0

    def since_start(self, grey: Float[np.ndarray, "height width"]) -> float:
        """Change from the first frame to this one, as a share of the longest side. Never decreases."""
        if self.reference is None:
            self.reference = grey
            return 0.0
        flow = block_motion(self.reference, grey)
        if len(flow) < ENOUGH:
            self.unknown += 1
            if self.unknown >= BLIND:
                self._renew(grey, self.now + RENEW)
            return self.now / max(grey.shape)
        self.unknown = 0
        motion = float(np.median(np.linalg.norm(flow[:, 2:], axis=1)))
        self.now = max(self.now, self.before + motion + PARALLAX_WEIGHT * parallax(flow))
        if motion > RENEW:
            self._renew(grey, self.now)
        return self.now / max(grey.shape)

    def _renew(self, grey: Float[np.ndarray, "height width"], change: float) -> None:
        self.reference, self.before, self.now, self.unknown = grey, change, change, 0


def block_motion(
    first: Float[np.ndarray, "height width"], second: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "blocks 4"]:
    """x, y of each block's centre and its motion in x and y, pixels; blocks whose motion is not clear are left out."""
    height, width = first.shape
    size = min(BLOCK, height, width)
    rows = np.linspace(0, height - size, max(1, height // size)).astype(int)
    columns = np.linspace(0, width - size, max(1, width // size)).astype(int)
    corners = [(row, column) for row in rows for column in columns]
    window = np.hanning(size)[:, None] * np.hanning(size)

    def spectra(picture: Float[np.ndarray, "height width"]) -> np.ndarray:
        blocks = np.stack([picture[r : r + size, c : c + size] for r, c in corners])
        blocks = blocks - blocks.mean(axis=(1, 2), keepdims=True)
        return np.fft.rfft2(blocks * window)

    cross = spectra(second) * spectra(first).conj()
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-3), s=(size, size))
    flat = peaks.reshape(len(corners), -1)
    best = flat.argmax(axis=1)
    moved = np.stack([best % size, best // size], axis=1).astype(np.float64)
    moved[moved > size / 2] -= size
    centers = np.array([(c + size / 2, r + size / 2) for r, c in corners])
    return np.concatenate([centers, moved], axis=1)[flat.max(axis=1) > CLEAR]


def parallax(flow: Float[np.ndarray, "blocks 4"]) -> float:
    """Median length, in pixels, of what the best affine map leaves of the motion."""
    at = np.concatenate([flow[:, :2], np.ones((len(flow), 1))], axis=1)
    coefficients = np.linalg.lstsq(at, flow[:, 2:], rcond=None)[0]
    return float(np.median(np.linalg.norm(flow[:, 2:] - at @ coefficients, axis=1)))
