"""Export to an ONNX file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nelf.core.captured_output import captured_output
from nelf.export.graph import Request
from nelf.runtime import INPUT, OUTPUT

OPSET = 20  # the first with GELU as one operation


def export(request: Request) -> None:
    """Write the file for `request`."""
    convert(request.graph, request.precision, request.path)


def convert(
    graph: nn.Module,
    precision: str,
    path: Path,
    samples: Mapping[str, Tensor] | None = None,
    outputs: Sequence[str] = (OUTPUT,),
) -> None:
    """Write `graph` as `path`. The graph is already float32 or float16, so `precision` changes nothing.

    samples: inputs by name, in the graph's order; by default a pose.
    """
    samples = samples or {INPUT: torch.eye(3, 4)[None]}
    with captured_output("the ONNX conversion"):
        program = torch.onnx.export(
            graph,
            tuple(samples.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(samples),
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        # Remove stack traces and paths of this machine: useless, and different on every machine.
        for message in (
            model,
            model.graph,
            *model.graph.node,
            *model.graph.value_info,
            *model.graph.initializer,
            *model.graph.input,
            *model.graph.output,
        ):
            del message.metadata_props[:]
        path.write_bytes(model.SerializeToString(deterministic=True))
