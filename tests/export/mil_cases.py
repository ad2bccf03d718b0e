"""For each operation of the interpreter: random inputs, and the expected result by its definition in float64.

Names and meaning: coremltools' MIL reference. If torch or NumPy has the operation, that is the definition; windows are
visited one by one.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Case = tuple[dict[str, Any], Array | Sequence[Array]]
T = TypeVar("T")


class Draw:
    """Random shapes and values from one seed. Some values are whole or half ones, where steps and ties are."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.spread = (0.1, 1.0, 10.0)[seed % 3]

    def integer(self, least: int, most: int) -> int:
        return int(self.random.integers(least, most + 1))

    def often(self) -> bool:
        return self.integer(0, 1) == 1

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.integer(0, len(choices) - 1)]

    def some_of(self, choices: Sequence[T], least: int = 1) -> list[T]:
        """A random subset, in order."""
        count = self.integer(min(least, len(choices)), len(choices))
        return [choices[i] for i in sorted(self.random.permutation(len(choices))[:count])]

    def shape(self, least: int = 1, most: int = 5) -> list[int]:
        return [self.integer(1, 5) for _ in range(self.integer(least, most))]

    def values(self, *shape: int) -> Tensor:
        x = self.spread * self.random.standard_normal(shape)
        return torch.tensor(np.where(self.random.random(shape) < 0.3, np.round(2 * x) / 2, x), dtype=torch.float32)

    def axis(self, rank: int) -> int:
        return self.integer(-rank, rank - 1)

    def axes(self, rank: int) -> list[int]:
        return [axis - rank * self.integer(0, 1) for axis in self.some_of(range(rank))]

    def maybe(self, **inputs: Any) -> dict[str, Any]:
        """Keep or drop each of them at random."""
        return {name: value for name, value in inputs.items() if self.often()}


def exact(x: Tensor) -> Array:
    return x.double().numpy()


def const(value: Any) -> Tensor:
    return torch.tensor(value)


def unary(function: Callable[[Array], Array]) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = draw.values(*draw.shape())
        return {"x": x}, function(exact(x))

    return case


def positive(function: Callable[[Array], Array]) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = draw.values(*draw.shape()).abs()
        return {"x": x}, function(exact(x))

    return case


def with_epsilon(function: Callable[[Array], Array], default: float) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x, epsilon = draw.values(*draw.shape()).abs(), draw.one_of([None, 1e-3])
        given = {} if epsilon is None else {"epsilon": const(epsilon)}
        added = exact(given.get("epsilon", const(default)))
        return {"x": x, **given}, function(exact(x) + added)

    return case


def activation(function: Callable[..., Array], *parameters: str) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = draw.values(*draw.shape())
        given = {
            name: x.reshape(-1)[draw.integer(0, x.numel() - 1)].abs() + 0.5 * i for i, name in enumerate(parameters)
        }
        return {"x": x, **given}, function(exact(x), *(exact(value) for value in given.values()))

    return case


def pair(draw: Draw) -> tuple[Tensor, Tensor]:
    """Two tensors with shapes that broadcast."""
    shape = draw.shape()
    x, y = ([n if draw.often() else 1 for n in shape] for _ in range(2))
    return draw.values(*x), draw.values(*y[draw.integer(0, len(y) - 1) :])


def binary(function: Callable[[Array, Array], Array], zeros: bool = True) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x, y = pair(draw)
        y = y if zeros else torch.where(y.abs() < 0.05, 0.5, y)
        return {"x": x, "y": y}, function(exact(x), exact(y))

    return case


def power(draw: Draw) -> Case:
    x, y = pair(draw)
    x, y = x.abs() + 0.1, y.clamp(-3, 3)
    return {"x": x, "y": y}, exact(x) ** exact(y)


def select(draw: Draw) -> Case:
    a, b = pair(draw)
    condition = draw.values(*np.broadcast_shapes(a.shape, b.shape)) > 0
    return {"cond": condition, "a": a, "b": b}, np.where(condition.numpy(), exact(a), exact(b))


def gelu(draw: Draw) -> Case:
    x, mode = draw.values(*draw.shape()), draw.one_of([None, "EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
    value = exact(x)
    share = {
        "TANH_APPROXIMATION": 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))),
        "SIGMOID_APPROXIMATION": 1 / (1 + np.exp(-1.702 * value)),
    }.get(mode or "", 0.5 * (1 + torch.erf(x.double() / math.sqrt(2)).numpy()))
    return {"x": x} if mode is None else {"x": x, "mode": mode}, value * share


def softmax(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    given = draw.maybe(axis=const(draw.axis(x.dim())))
    axis = int(given.get("axis", -1))
    powers = np.exp(exact(x) - exact(x).max(axis, keepdims=True))
    return {"x": x, **given}, powers / powers.sum(axis, keepdims=True)


def reduction(function: Callable[..., Array]) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = draw.values(*draw.shape())
        given = draw.maybe(axes=const(draw.axes(x.dim())), keep_dims=const(draw.often()))
        axes = tuple(given["axes"].tolist()) if "axes" in given else None
        return {"x": x, **given}, np.asarray(function(exact(x), axes, keepdims=bool(given.get("keep_dims", False))))

    return case


def concat(draw: Draw) -> Case:
    shape, count = draw.shape(), draw.integer(2, 4)
    axis, interleave = draw.axis(len(shape)), draw.often()
    values = []
    for _ in range(count):
        shape[axis] = shape[axis] if interleave else draw.integer(1, 4)
        values.append(draw.values(*shape))
    result = np.concatenate([exact(value) for value in values], axis)
    if interleave:  # one of each in turn
        order = [j * shape[axis] + i for i in range(shape[axis]) for j in range(count)]
        result = result.take(order, axis)
    return {"values": values, "axis": const(axis), "interleave": const(interleave)}, result


def stack(draw: Draw) -> Case:
    shape = draw.shape(1, 4)
    values, axis = [draw.values(*shape) for _ in range(draw.integer(2, 4))], draw.axis(len(shape) + 1)
    return {"values": values, "axis": const(axis)}, np.stack([exact(value) for value in values], axis)


def split(draw: Draw) -> Case:
    shape, sizes = draw.shape(), [draw.integer(1, 3) for _ in range(draw.integer(2, 4))]
    axis, even = draw.axis(len(shape)), draw.often()
    sizes = [sizes[0]] * len(sizes) if even else sizes
    shape[axis] = sum(sizes)
    x = draw.values(*shape)
    how = {"num_splits": const(len(sizes))} if even else {"split_sizes": const(sizes)}
    return {"x": x, "axis": const(axis), **how}, np.split(exact(x), np.cumsum(sizes)[:-1], axis)


def crop(draw: Draw) -> Case:
    rows, columns = ([draw.integer(0, 2), draw.integer(0, 2)] for _ in range(2))
    x = draw.values(*draw.shape(0, 2), draw.integer(5, 7), draw.integer(5, 7))
    result = exact(x)[..., rows[0] : x.shape[-2] - rows[1], columns[0] : x.shape[-1] - columns[1]]
    return {"x": x, "crop_height": const(rows), "crop_width": const(columns)}, result


def expand_dims(draw: Draw) -> Case:
    x, count = draw.values(*draw.shape(1, 3)), draw.integer(1, 2)
    rank = x.dim() + count
    axes = [axis - rank * draw.integer(0, 1) for axis in sorted(draw.random.permutation(rank)[:count].tolist())]
    return {"x": x, "axes": const(axes)}, np.expand_dims(exact(x), tuple(axes))


def squeeze(draw: Draw) -> Case:
    shape = [n if draw.often() else 1 for n in [*draw.shape(), 1]]
    x, ones = draw.values(*shape), [axis - len(shape) * draw.integer(0, 1) for axis, n in enumerate(shape) if n == 1]
    given = draw.maybe(axes=const(draw.some_of(ones))) if ones else {}
    return {"x": x, **given}, np.squeeze(exact(x), tuple(given["axes"].tolist()) if "axes" in given else None)


def gather(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    given = draw.maybe(axis=const(draw.axis(x.dim())))
    axis = int(given.get("axis", 0))
    indices = draw.random.integers(-x.shape[axis], x.shape[axis], draw.shape(0, 2)).astype(np.int32)
    return {"x": x, "indices": torch.from_numpy(np.asarray(indices)), **given}, np.take(exact(x), indices, axis)


def pad(draw: Draw) -> Case:
    x, mode = draw.values(*draw.shape()), draw.one_of(["constant", "reflect", "replicate"])
    last = draw.integer(1, x.dim())
    most = [n - 1 if mode == "reflect" else n for n in x.shape[-last:]]
    pairs = [(draw.integer(0, n), draw.integer(0, n)) for n in most]
    given = draw.maybe(constant_val=const(0.75)) if mode == "constant" else {}
    how = {"constant_values": float(given.get("constant_val", 0))} if mode == "constant" else {}
    kind: Any = {"replicate": "edge"}.get(mode, mode)
    result = np.pad(exact(x), [(0, 0)] * (x.dim() - last) + pairs, kind, **how)
    named = {} if mode == "constant" and draw.often() else {"mode": mode}
    return {"x": x, "pad": const([n for pair in pairs for n in pair]), **named, **given}, result


def blocks(name: str, factor: str) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        n, c, h, w, b = (draw.integer(1, 3) for _ in range(5))
        fine, coarse = draw.values(n, c, h * b, w * b), draw.values(n, c * b * b, h, w)
        wide, narrow = exact(coarse), exact(fine)
        there, back = np.empty(fine.shape), np.empty(coarse.shape)
        for k, i, j in itertools.product(range(c), range(b), range(b)):
            channel = k * b * b + i * b + j if name == "pixel_shuffle" else (i * b + j) * c + k
            there[:, k, i::b, j::b] = wide[:, channel]
            back[:, channel] = narrow[:, k, i::b, j::b]
        x, result = (fine, back) if name == "space_to_depth" else (coarse, there)
        return {"x": x, factor: const(b)}, result

    return case


def reshape(draw: Draw) -> Case:
    x = draw.values(*draw.shape(2, 5))
    kept, split_at = draw.often(), draw.integer(1, x.dim() - 1)
    shape = [0 if kept else x.shape[0], math.prod(x.shape[1:split_at]), math.prod(x.shape[max(split_at, 1) :])]
    result = exact(x).reshape(x.shape[0], *shape[1:])
    if draw.often():
        shape[draw.integer(1, 2)] = -1
    return {"x": x, "shape": const(shape)}, result


def reverse(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    given = draw.maybe(axes=const(draw.axes(x.dim())))
    return {"x": x, **given}, np.flip(exact(x), tuple(given["axes"].tolist()) if "axes" in given else None)


def slice_by_index(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    begin, end, stride, masks, chosen = [], [], [], {"begin": [], "end": [], "squeeze": []}, []  # type: ignore[var-annotated]
    for n in x.shape:
        first, last = sorted((draw.integer(0, n - 1), draw.integer(0, n - 1)))
        step, single = draw.one_of([1, 1, 2, -1, -2]), draw.integer(0, 3) == 0
        start, stop = (first, last + 1) if step > 0 else (last, first - 1)
        open_ = [draw.integer(0, 3) == 0, draw.integer(0, 3) == 0 or stop < 0]
        for mask, value in zip(masks.values(), [*open_, single], strict=True):
            mask.append(value)
        chosen.append(start if single else slice(None if open_[0] else start, None if open_[1] else stop, step))
        begin.append(start - n * draw.integer(0, 1))
        end.append(stop - n if draw.often() and 0 <= stop < n else stop)
        stride.append(step)
    given = {f"{name}_mask": const(mask) for name, mask in masks.items()}
    return {"x": x, "begin": const(begin), "end": const(end), "stride": const(stride), **given}, exact(x)[tuple(chosen)]


def slice_by_size(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    begin = [draw.integer(0, n - 1) for n in x.shape]
    size = [draw.integer(1, n - b) for n, b in zip(x.shape, begin, strict=True)]
    rest = [draw.often() for _ in size]
    chosen = tuple(slice(b, None if r else b + s) for b, s, r in zip(begin, size, rest, strict=True))
    size = [-1 if r else s for s, r in zip(size, rest, strict=True)]
    return {"x": x, "begin": const(begin), "size": const(size)}, exact(x)[chosen]


def tile(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    reps = [draw.integer(1, 3) for _ in x.shape]
    return {"x": x, "reps": const(reps)}, np.tile(exact(x), reps)


def transpose(draw: Draw) -> Case:
    x = draw.values(*draw.shape())
    order = draw.random.permutation(x.dim()).tolist()
    return {"x": x, "perm": const([axis - x.dim() * draw.integer(0, 1) for axis in order])}, exact(x).transpose(order)
