"""A palette for the weights of a layer: the few values that stand for them with the least squared error (k-means)."""

import numpy as np

BINS = 4096  # of the histogram that the first palette is taken from
ROUNDS = 100


def palette(weights: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """2^bits values in the dtype of `weights`, ascending, and for each weight the index of its value, flat, uint8.

    Lloyd's algorithm on sorted values, where a cluster is an interval, so that a round is a binary search for the
    bounds and differences of running sums. It starts where the density of values is the cube root of the weights'
    (Panter and Dite 1951: what the best palette tends to as it grows) and has no randomness.
    """
    flat = weights.astype(np.float64).ravel()
    ordered = np.sort(flat)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    count = 2**bits
    values = _first(ordered, count)
    for _ in range(ROUNDS):
        bounds = np.concatenate([[0], np.searchsorted(ordered, (values[1:] + values[:-1]) / 2), [len(ordered)]])
        members = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(members, 1)
        moved = np.where(members > 0, means, values)
        if np.array_equal(moved, values):
            break
        values = moved
    values = np.sort(values.astype(weights.dtype))
    exact = values.astype(np.float64)
    indices = np.searchsorted((exact[1:] + exact[:-1]) / 2, flat)
    return values, indices.astype(np.uint8)


def _first(ordered: np.ndarray, count: int) -> np.ndarray:
    density, edges = np.histogram(ordered, bins=BINS)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    return np.interp((np.arange(count) + 0.5) / count * share[-1], share, edges)
