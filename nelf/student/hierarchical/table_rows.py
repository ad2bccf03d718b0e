"""Feature tables for inference: rows looked up by one index each.

`F.embedding` becomes EMBEDDING_LOOKUP in LiteRT and a gather in Core ML and ONNX. Other ways to index a table become
operations that check bounds row by row, which is much slower (GATHER_ND in LiteRT). Lines have a second form without a
lookup.
"""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nelf.kernels.plane_features import PLANES


class Place(NamedTuple):
    """Position of samples along one axis of a table: the node before, and the fraction behind it, 0 to 1; float32."""

    node: Float[Tensor, "*shape"]
    fraction: Float[Tensor, "*shape"]


class TableRows(nn.Module, abc.ABC):
    """Reads tables at given positions.

    ranges: largest size of the values of each channel. Values are divided by it, so that one 8-bit scale suits a whole
    table. `scales` holds the factors that undo this in the layer that takes the features: one tensor for each that
    `forward` returns.
    """

    def __init__(
        self,
        tables: Float[Tensor, "tables rows channels"],
        ranges: Float[Tensor, "tables channels"],
        nodes: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.nodes, self.dtype = nodes, dtype
        tables, ranges = tables.detach().cpu().float(), ranges.detach().cpu().float().clamp(min=1e-12)
        scaled = tables / ranges[:, None]
        self.tables = nn.ParameterList(nn.Parameter(t.to(dtype), requires_grad=False) for t in scaled)
        self.scales = self._scales_of(ranges)

    @abc.abstractmethod
    def forward(self, places: Sequence[Place]) -> list[Float[Tensor, "n channels"]]:
        """Features of all samples, row by row. places: along the axes x, y and z."""

    def _scales_of(self, ranges: Float[Tensor, "tables channels"]) -> list[Float[Tensor, "channels"]]:
        return list(ranges)

    def _shares(self, places: Sequence[Place]) -> list[Float[Tensor, "n 1"]]:
        return [place.fraction.reshape(-1, 1).to(self.dtype) for place in places]


class PlaneRows(TableRows):
    """Bilinear, from each of three planes."""

    def forward(self, places: Sequence[Place]) -> list[Float[Tensor, "n channels"]]:
        shares, features = self._shares(places), []
        for table, (a, b) in zip(self.tables, PLANES, strict=True):
            first = (places[b].node * self.nodes + places[a].node).reshape(-1).int()
            features.append(_bilinear(table, first, (1, self.nodes), (shares[a], shares[b])))
        return features


class LineRows(TableRows):
    """The product of three lines."""

    def forward(self, places: Sequence[Place]) -> list[Float[Tensor, "n channels"]]:
        product: Tensor | None = None
        for table, place, share in zip(self.tables, places, self._shares(places), strict=True):
            first = place.node.reshape(-1).int()
            here, there = functional.embedding(first, table), functional.embedding(first + 1, table)
            value = here + (there - here) * share
            product = value if product is None else product * value
        assert product is not None
        return [product]

    def _scales_of(self, ranges: Float[Tensor, "tables channels"]) -> list[Float[Tensor, "channels"]]:
        return [ranges.prod(dim=0)]


class LineHats(LineRows):
    """Product of three lines without a lookup: each is a matrix product with hat functions of the coordinate.

    The hat function of a node is 1 there and falls to 0 at its neighbours. For the Neural Engine, which cannot gather.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.register_buffer("numbers", torch.arange(self.nodes).float()[None], persistent=False)
        self.products = nn.ModuleList(_product(table) for table in self.tables)

    numbers: Tensor

    def forward(self, places: Sequence[Place]) -> list[Float[Tensor, "n channels"]]:
        product: Tensor | None = None
        for product_with, place in zip(self.products, places, strict=True):
            distance = (place.node + place.fraction).reshape(-1, 1) - self.numbers
            value = product_with((1 - distance.abs()).relu().to(self.dtype))
            product = value if product is None else product * value
        assert product is not None
        return [product]


class VolumeRows(TableRows):
    """Trilinear, from one volume."""

    def forward(self, places: Sequence[Place]) -> list[Float[Tensor, "n channels"]]:
        (table,), (x, y, z) = self.tables, places
        across, up, on = self._shares(places)
        first = ((z.node * self.nodes + y.node) * self.nodes + x.node).reshape(-1).int()
        near = _bilinear(table, first, (1, self.nodes), (across, up))
        far = _bilinear(table, first + self.nodes**2, (1, self.nodes), (across, up))
        return [near + (far - near) * on]


def _product(table: Tensor) -> nn.Linear:
    """The layer that multiplies rows by `table`."""
    rows, channels = table.shape
    layer = nn.Linear(rows, channels, bias=False)
    layer.weight = nn.Parameter(table.T.clone(), requires_grad=False)
    return layer


def _bilinear(table: Tensor, first: Tensor, steps: tuple[int, int], shares: tuple[Tensor, Tensor]) -> Tensor:
    """Weighted mean of four rows: `first`, and those one step along either or both axes."""
    across, up = shares
    both = across * up
    weights = 1 - across - up + both, across - both, up - both, both
    total: Tensor | None = None
    for step, weight in zip((0, steps[0], steps[1], sum(steps)), weights, strict=True):
        part = functional.embedding(first + step, table) * weight
        total = part if total is None else total + part
    assert total is not None
    return total
