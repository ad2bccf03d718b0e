"""To an ONNX file, and the runtime that executes it. The only file that imports ONNX."""

from pathlib import Path

import torch
from torch import Tensor

from nelf.export.graph import INPUT, OUTPUT, ExportGraph
from nelf.export.quiet import quiet
from nelf.export.request import Request
from nelf.export.session import Session

OPSET = 20  # the first with GELU as one operation


def answer(request: Request) -> None:
    """Write the file that `request` asks for."""
    convert(request.graph, request.precision, request.path)


def convert(graph: ExportGraph, precision: str, path: Path) -> None:
    """Write `graph` as `path`. The graph itself is float32 or float16; nothing is left to `precision`."""
    with quiet("the ONNX conversion"):
        program = torch.onnx.export(
            graph,
            (torch.eye(3, 4)[None],),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        # Stack traces and paths of this machine: of no use to a reader, and different on every machine.
        for message in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer,
                        *model.graph.input, *model.graph.output):  # fmt: skip
            del message.metadata_props[:]
        path.write_bytes(model.SerializeToString(deterministic=True))


def load(path: Path) -> Session:
    """The file in ONNX Runtime on the CPU, as many threads as torch uses."""
    with quiet(f"loading {path.name} in ONNX Runtime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def render(pose: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: pose.numpy()})[0])

    return Session("ONNX Runtime", render)
