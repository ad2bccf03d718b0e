"""The operations of an ONNX file; shapes that it does not state are inferred."""

from pathlib import Path
from typing import Any

from nelf.export.fit.graph import Format, Graph, Operation, TensorFacts
from nelf.export.quiet import quiet


def read_onnx(path: Path) -> Graph:
    """Of the file's only graph."""
    with quiet(f"reading {path.name}"):
        import onnx

        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        graph = model.graph
        types = {i.name: i.type.tensor_type for i in (*graph.input, *graph.value_info, *graph.output)}
        constants = {i.name: (tuple(i.dims), i.data_type) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                value = next(a.t for a in node.attribute if a.name == "value")
                constants[node.output[0]] = (tuple(value.dims), value.data_type)

        def dtype(code: int) -> str:
            return str(onnx.helper.tensor_dtype_to_np_dtype(code))

        def facts(name: str) -> TensorFacts:
            if name in constants:
                shape, code = constants[name]
                return TensorFacts(name, shape, dtype(code), True)
            tensor = types[name]
            return TensorFacts(name, tuple(_size(d) for d in tensor.shape.dim), dtype(tensor.elem_type))

        return Graph(
            Format.ONNX,
            tuple(
                Operation(
                    node.op_type,
                    node.name or node.output[0],
                    tuple(facts(name) for name in node.input if name),
                    tuple(facts(name) for name in node.output if name),
                    {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
                )
                for node in graph.node
                if node.op_type != "Constant"
            ),
        )


def _size(dimension: Any) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") else None
