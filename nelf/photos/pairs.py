"""Which photos are compared with which."""

from itertools import combinations

ALL_PAIRS_UP_TO = 100  # photos: above that every pair takes longer than everything else together
NEIGHBOURS = 10  # following photos that each is compared with
KEYS = 40  # photos, evenly spread, that are compared with each other: they close a loop


def all_pairs(count: int) -> list[tuple[int, int]]:
    return list(combinations(range(count), 2))


def sequential_pairs(count: int) -> list[tuple[int, int]]:
    """Each photo with the next ones, with those 2^i farther on, and some spread over all with each other."""
    steps = [*range(1, NEIGHBOURS + 1), *(2**i for i in range(4, 32) if NEIGHBOURS < 2**i < count)]
    pairs = {(i, i + step) for i in range(count) for step in steps if i + step < count}
    keys = sorted({round(i * (count - 1) / (KEYS - 1)) for i in range(KEYS)}) if count > 1 else []
    return sorted(pairs | set(combinations(keys, 2)))


def choose_pairs(count: int, matching: str, ordered: bool) -> list[tuple[int, int]]:
    """matching: see PhotosConfig. ordered: the photos follow each other, as frames of a video do."""
    sequential = matching == "sequential" or (matching == "auto" and (ordered or count > ALL_PAIRS_UP_TO))
    return sequential_pairs(count) if sequential else all_pairs(count)
