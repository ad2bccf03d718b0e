"""Small handmade model files for measuring."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nelf.core.captured_output import captured_output


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions of 9 x 8 x 8 weights over 32 x 32 pixels, and a sine."""
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    weights = [onnx.numpy_helper.from_array(np.full((8, 8, 3, 3), 0.01, np.float32), name) for name in ("w0", "w1")]
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Sin", ["a"], ["b"]),
        onnx.helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1, 1, 1, 1]),
    ]
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 8, 32, 32]) for n in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "small", values[:1], values[1:], weights)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=opset), path)
    return path


@pytest.fixture(scope="session")
def lite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a GELU as LiteRT's converter writes them."""
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GELU()).eval()
    with captured_output("converting"):
        import litert_torch

        litert_torch.convert(network, (torch.zeros(1, 8, 32, 32),)).export(str(path))
    return path
