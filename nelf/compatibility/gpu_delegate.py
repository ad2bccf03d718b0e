"""Operations that LiteRT's GPU delegate runs.

From CheckGpuDelegateCompatibility (tflite/tools/versioning/gpu_compatibility.cc in google-ai-edge/LiteRT, as of 2026),
the delegate's own list, and from further checks in its parsers. Covers only what a file shows: drivers may refuse more.
"""

from collections.abc import Callable, Mapping

from nelf.compatibility.graph import Operation, TensorFacts, shape_text

Check = Callable[[Operation], str | None]
"""Why the delegate refuses the operation; None if it runs it."""


def _runtime_inputs(op: Operation) -> int:
    return sum(not one.constant for one in op.inputs)


def _fine(_: Operation) -> None:
    return None


def _one_input(op: Operation) -> str | None:
    return None if _runtime_inputs(op) == 1 else f"takes {_runtime_inputs(op)} inputs, one is allowed"


def _two_inputs(op: Operation) -> str | None:
    allowed = len(op.inputs) == 2 and _runtime_inputs(op) in (1, 2)
    return None if allowed else "needs two inputs, at least one of them computed"


def _weights(op: Operation) -> str | None:
    return None if _runtime_inputs(op) <= 2 else "has more than two computed inputs"


def _broadcast(op: Operation) -> str | None:
    if len(op.inputs) != 2:
        return f"has {len(op.inputs)} inputs, two are needed"
    a, b = (one.shape for one in op.inputs)
    if len(a) < 2 or len(b) < 2 or len(a) == len(b):
        return None
    fits = all(m in (n, 1, None) or n in (1, None) for m, n in zip(a[::-1], b[::-1], strict=False))
    return None if fits else f"{shape_text(a)} and {shape_text(b)} do not broadcast"


def _slice(op: Operation) -> str | None:
    rank = len(op.inputs[0].shape)
    return None if rank in (3, 4) else f"input has rank {rank}, 3 or 4 are allowed"


def _strided_slice(op: Operation) -> str | None:
    masks = [name for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask") if op.attributes.get(name)]
    return f"uses {masks[0]}" if masks else _slice(op)


def _constant_axes(op: Operation) -> str | None:
    axes = op.inputs[1]
    return None if axes.constant and axes.dtype == "int32" else "axes are not int32 constants"


def _pad(op: Operation) -> str | None:
    shape = op.inputs[1].shape
    return None if shape in ((3, 2), (4, 2)) else f"paddings are {shape_text(shape)}, 3x2 or 4x2 are allowed"


def _gather(op: Operation) -> str | None:
    indices = op.inputs[1]
    if len(indices.shape) != 1:
        return f"indices have rank {len(indices.shape)}, 1 is allowed"
    return None if indices.dtype == "int32" else f"indices are {indices.dtype}, int32 is allowed"


def _cast(op: Operation) -> str | None:
    pair = {op.inputs[0].dtype, op.outputs[0].dtype}
    allowed = pair <= {"float32", "int32"} or (pair & {"float16", "float32"} and "bool" in pair)
    return None if allowed else f"from {op.inputs[0].dtype} to {op.outputs[0].dtype}"


def _softmax(op: Operation) -> str | None:
    return None if op.attributes.get("beta", 1.0) == 1.0 else "beta is not 1"


def _resize(op: Operation) -> str | None:
    both = op.attributes.get("alignCorners") and op.attributes.get("halfPixelCenters")
    return "align_corners and half_pixel_centers together" if both else _one_input(op)


def _block(op: Operation) -> str | None:
    return None if op.attributes.get("blockSize", 2) > 1 else "block size is not above 1"


def _dequantize(op: Operation) -> str | None:
    return "from int16" if op.inputs[0].dtype == "int16" else None


def _group(check: Check, kinds: str) -> dict[str, Check]:
    return dict.fromkeys(kinds.split(), check)


SUPPORTED: Mapping[str, Check] = {
    **_group(
        _one_input,
        "ABS CEIL COS ELU EXP FLOOR GELU LOG LOGISTIC LOGICAL_NOT NEG ROUND RSQRT SIGN SIN SQRT SQUARE TANH "
        "HARD_SWISH QUANTIZE RESHAPE TILE TOPK_V2 TRANSPOSE AVERAGE_POOL_2D MAX_POOL_2D BITCAST",
    ),
    **_group(
        _two_inputs,
        "ATAN2 DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR MAXIMUM "
        "MINIMUM NOT_EQUAL POW RIGHT_SHIFT SQUARED_DIFFERENCE SUB",
    ),
    **_group(_weights, "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV FULLY_CONNECTED"),
    **_group(_constant_axes, "MEAN SUM REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD REVERSE_V2"),
    **_group(_broadcast, "ADD MUL"),
    **_group(
        _fine,
        "ADD_N BATCH_MATMUL CONCATENATION CUMSUM DENSIFY EMBEDDING_LOOKUP DYNAMIC_UPDATE_SLICE LEAKY_RELU LSTM "
        "ONE_HOT PACK PRELU RELU RELU6 RELU_N1_TO_1 SELECT SELECT_V2 SPLIT SPLIT_V UNPACK",
    ),
    **_group(_pad, "PAD PADV2 MIRROR_PAD"),
    **_group(_resize, "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR"),
    **_group(_block, "DEPTH_TO_SPACE SPACE_TO_DEPTH"),
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "CAST": _cast,
    "SOFTMAX": _softmax,
    "DEQUANTIZE": _dequantize,
}
"""Operation -> its check. The delegate refuses all others."""

MAX_VERSIONS: Mapping[str, int] = {"TRANSPOSE_CONV": 3, "TRANSPOSE": 4}
"""Newest version of an operation that the delegate's parsers accept (tflite/delegates/gpu/common/model_builder.cc).
TRANSPOSE_CONV becomes version 4 when an activation is fused into it."""

DTYPES = frozenset({"float32", "float16", "int8", "uint8", "int32", "bool"})
"""Allowed types of computed tensors."""


def refused(op: Operation) -> str | None:
    """Why LiteRT's GPU delegate leaves an operation to the CPU; None if it runs it."""
    if op.kind not in SUPPORTED:
        return f"{op.attributes.get('custom', op.kind)} is not supported"
    if (version := op.attributes.get("version", 1)) > MAX_VERSIONS.get(op.kind, version):
        return f"version {version}, the newest supported is {MAX_VERSIONS[op.kind]}"
    odd = next((t for t in (*op.inputs, *op.outputs) if not _has_known_dtype(t)), None)
    return f"computes in {odd.dtype}" if odd else SUPPORTED[op.kind](op)


def _has_known_dtype(tensor: TensorFacts) -> bool:
    return tensor.constant or tensor.dtype in DTYPES
