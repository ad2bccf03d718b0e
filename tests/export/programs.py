"""Torch modules as Core ML packages, without our code in between."""

from pathlib import Path

import torch
from torch import Tensor, nn

from nelf.core.captured_output import captured_output


def converted(module: nn.Module, x: Tensor, path: Path, half: bool = False, deployment: str = "16") -> Path:
    """`module`, called with `x`, as the package `path`, all in float32 or all in float16."""
    with captured_output("converting"):
        import coremltools as ct

        program = torch.export.export(module, (x,)).run_decompositions({})
        model = ct.convert(
            program,
            inputs=[ct.TensorType("x", shape=tuple(x.shape), dtype=float)],
            minimum_deployment_target=getattr(ct.target, f"iOS{deployment}"),
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(path))
    return path
