"""Every operation of the interpreter against its definition, with random shapes, values and options."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from nelf.runtime.coreml_ops import OPS
from tests.export.mil_cases import Draw
from tests.export.mil_layer_cases import CASES

SEEDS = range(60)
TOLERANCE = 4e-6
"""Of the largest value: float32 keeps 24 bits, sums of up to a hundred products lose a few of them."""


def test_every_operation_has_a_case() -> None:
    assert CASES.keys() == OPS.keys()


@pytest.mark.parametrize("name", OPS)
def test_operation(name: str) -> None:
    for seed in SEEDS:
        inputs, expected = CASES[name](Draw(seed))
        result = OPS[name](inputs)
        results: Sequence[Tensor] = [result] if isinstance(result, Tensor) else result
        references = expected if isinstance(expected, list) else [expected]
        for got, value in zip(results, references, strict=True):
            reference = torch.from_numpy(np.array(value, dtype=np.float64))
            assert got.shape == reference.shape, (seed, inputs)
            error = float(((got.double() - reference).abs() / reference.abs().max().clamp_min(1)).max())
            assert error <= TOLERANCE, (seed, inputs)
