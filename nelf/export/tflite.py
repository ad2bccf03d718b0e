"""To a LiteRT (TensorFlow Lite) file, and the runtime that executes it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from nelf.export.graph import INPUT, OUTPUT
from nelf.export.quiet import quiet
from nelf.export.session import Session, in_runtime
from nelf.runtimes import RUNTIMES

SIGNATURE = "serving_default"


class _Named(nn.Module):
    """Gives the output its name: LiteRT takes names from a dictionary."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.wrapped = graph

    def forward(self, pose: Tensor) -> dict[str, Tensor]:
        return {OUTPUT: self.wrapped(pose)}


def convert(graph: nn.Module, precision: str, path: Path) -> None:
    """Write `graph`, or a part of one that takes the pose too, as `path`.

    fp16 keeps the weights as float16; the arithmetic is the delegate's choice.
    What is to be quantised afterwards is written in float32: `tflite_quantize.answer`.
    """
    with quiet("the LiteRT conversion"):
        import litert_torch

        model = litert_torch.convert(_Named(graph).eval(), sample_kwargs={INPUT: torch.eye(3, 4)[None]})
        model.export(str(path))
        if precision == "fp16":
            _halve_weights(path)


def _halve_weights(path: Path) -> None:
    from litert_quantizer import qtyping, quantizer
    from litert_quantizer.algorithm_manager import AlgorithmName

    recipe = quantizer.Quantizer(str(path))
    for operation in ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "EMBEDDING_LOOKUP"):
        recipe.add_weight_only_config(
            ".*", qtyping.TFLOperationName[operation], num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING
        )
    content = recipe.quantize().quantized_model
    path.write_bytes(content)


def load(path: Path) -> Session:
    """The file in LiteRT's interpreter with its XNNPACK delegate."""
    return in_runtime(path, RUNTIMES[".tflite"])
