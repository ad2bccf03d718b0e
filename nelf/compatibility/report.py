"""The rules of each accelerator, and what a file comes to by them."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nelf.compatibility.gpu_delegate import refused
from nelf.compatibility.graph import (
    MOVES,
    WORK,
    Finding,
    Format,
    Graph,
    Operation,
    Rule,
    Work,
    operation_macs,
    shape_text,
)

UNFIT_FOR_NEURAL_ENGINE = frozenset(
    {"lstm", "gru", "rnn", "gather", "gather_nd", "gather_along_axis", "scatter", "scatter_nd", "scatter_along_axis"}
)
WAVES = {
    "sin": "Core ML's compiler has none there (seen on an M2 with macOS 26)",
    "cos": "no source says that it has one there, of sin one says that it has not",
}
"""Kind -> what is known. The same source has softmax and matmul run there."""

MOST_AXES = 4
LARGE = 0.1
"""Share of the largest tensor's elements from which on a copy counts."""

NORMALISATION = {Format.CORE_ML: "batch_norm", Format.ONNX: "BatchNormalization"}
COPIES = {
    Format.CORE_ML: ("transpose", "reshape"),
    Format.LITE: ("TRANSPOSE", "RESHAPE"),
    Format.ONNX: ("Transpose", "Reshape"),
}
SCALING = {Format.CORE_ML: "mul", Format.LITE: "MUL", Format.ONNX: "Mul"}


def _dynamic(graph: Graph, index: int) -> str | None:
    op = graph.operations[index]
    open_ = next((t for t in (*op.inputs, *op.outputs) if t.is_dynamic), None)
    return f"{open_.name} has the shape {shape_text(open_.shape)}" if open_ else None


def _rank(graph: Graph, index: int) -> str | None:
    op = graph.operations[index]
    deep = next((t for t in (*op.inputs, *op.outputs) if not t.constant and len(t.shape) > MOST_AXES), None)
    return f"{deep.name} has {len(deep.shape)} axes, {shape_text(deep.shape)}" if deep else None


def _unfit_kind(graph: Graph, index: int) -> str | None:
    kind = graph.operations[index].kind
    return f"{kind} does not run there" if kind in UNFIT_FOR_NEURAL_ENGINE else None


def _dilated(graph: Graph, index: int) -> str | None:
    op = graph.operations[index]
    dilations = op.attributes.get("dilations")
    return f"dilations {dilations}" if op.kind == "conv" and any(n > 1 for n in dilations or ()) else None


def _wave(graph: Graph, index: int) -> str | None:
    return WAVES.get(graph.operations[index].kind)


def _full_precision(graph: Graph, index: int) -> str | None:
    op = graph.operations[index]
    computed = [t.dtype for t in (*op.inputs, *op.outputs) if not t.constant and t.dtype.startswith("float")]
    if op.kind == "cast" or "float32" not in computed:
        return None
    return "computes in float32"


def _refused_by_gpu(graph: Graph, index: int) -> str | None:
    return refused(graph.operations[index])


def _unfolded(graph: Graph, index: int) -> str | None:
    """A normalisation of its own, or what is left of one: a constant factor a channel right after a convolution."""
    op = graph.operations[index]
    if op.kind == NORMALISATION.get(graph.format):
        return "stands by itself"
    if op.kind != SCALING[graph.format]:
        return None
    factor = next((t for t in op.inputs if t.constant), None)
    source = graph.producer(next((t.name for t in op.inputs if not t.constant), ""))
    if factor is None or source is None or not _is_convolution(graph, source):
        return None
    channels = source.outputs[0].shape[-1 if graph.format is Format.LITE else 1]
    a_channel = factor.elements == channels and factor.elements > 1
    return f"multiplies the {channels} channels of {source.kind} {source.name} by constants" if a_channel else None


def _is_convolution(graph: Graph, op: Operation) -> bool:
    return WORK.get(op.kind, (None,))[0] in (Work.CONVOLUTION, Work.TRANSPOSED)


def _copy(graph: Graph, index: int) -> str | None:
    """A large tensor moved, neither on the image's way out nor as a part of a pixel shuffle."""
    op = graph.operations[index]
    if op.kind not in COPIES[graph.format] or op.largest < LARGE * graph.largest:
        return None
    if graph.is_on_the_way_out(index) or _shuffles(graph, op):
        return None
    return f"moves {shape_text(op.inputs[0].shape)} to {shape_text(op.outputs[0].shape)}"


def _shuffles(graph: Graph, op: Operation) -> bool:
    """Depth to space as LiteRT's converter writes it: RESHAPE, TRANSPOSE that keeps the channels last, RESHAPE."""
    before, after = graph.producer(op.inputs[0].name), graph.consumers(op.outputs[0].name)
    if op.kind == "RESHAPE":
        middle = [one for one in (before, *after) if one is not None and one.kind == "TRANSPOSE"]
        return any(_shuffles(graph, one) for one in middle)
    kept = op.inputs[0].shape[-1] == op.outputs[0].shape[-1]
    ends = [before, *after]
    return op.kind == "TRANSPOSE" and kept and [end and end.kind for end in ends] == ["RESHAPE", "RESHAPE"]


SHAPES = "https://apple.github.io/coremltools/docs-guides/source/flexible-inputs.html"
TYPES = "https://apple.github.io/coremltools/docs-guides/source/typed-execution-example.html"
TRANSFORMERS = "https://machinelearning.apple.com/research/neural-engine-transformers"
LAYERS = "https://github.com/hollance/neural-engine/blob/master/docs/unsupported-layers.md"
COMPILER = "https://github.com/FluidInference/mobius: models/tts/magpie/coreml/nanocodec_experiments/results/PHASE_A.md"
DELEGATE = "https://github.com/google-ai-edge/LiteRT: tflite/tools/versioning/gpu_compatibility.cc"
BUILDER = "https://github.com/google-ai-edge/LiteRT: tflite/delegates/gpu/common/model_builder.cc"
FOLDING = "Jacob et al., CVPR 2018, section 3.2: inference needs no normalisation of its own"

WASTE = (
    Rule("unfolded BatchNorm", False, "fold it into the convolution before it", FOLDING, _unfolded),
    Rule("layout copy", False, "choose the layout that the operations around it compute in", TRANSFORMERS, _copy),
)

RULES: Mapping[Format, tuple[Rule, ...]] = {
    Format.CORE_ML: (
        Rule("dynamic shape", True, "the Neural Engine wants shapes that the file fixes", SHAPES, _dynamic),
        Rule("rank above 4", True, "the Neural Engine computes on four axes", TRANSFORMERS, _rank),
        Rule("unfit operation", True, "it runs on the CPU or the GPU", LAYERS, _unfit_kind),
        Rule("sine or cosine", True, "it takes what is around it along to the CPU", COMPILER, _wave),
        Rule("dilated convolution", True, "it runs on the CPU or the GPU", LAYERS, _dilated),
        Rule("full precision", True, "the Neural Engine computes in float16", TYPES, _full_precision),
        *WASTE,
    ),
    Format.LITE: (
        Rule("dynamic shape", True, "the GPU delegate takes static tensors only", BUILDER, _dynamic),
        Rule("rank above 4", True, "the GPU delegate takes four axes", BUILDER, _rank),
        Rule("refused operation", True, "it runs on the CPU", DELEGATE, _refused_by_gpu),
        *WASTE,
    ),
    Format.ONNX: (
        Rule("dynamic shape", True, "WebGPU and NPU providers want shapes that the file fixes", SHAPES, _dynamic),
        Rule("rank above 4", True, "many providers compute on four axes", TRANSFORMERS, _rank),
        *WASTE,
    ),
}
"""Format -> what is held against an operation, most serious first."""

ACCELERATORS: Mapping[Format, str] = {
    Format.CORE_ML: "the Neural Engine",
    Format.LITE: "LiteRT's GPU delegate",
    Format.ONNX: "ONNX Runtime's accelerated providers",
}


SMALL_PRELUDE = 0.25
"""Share of the first multiplying operation's input that a tensor before it may have and still count as small."""

EXCUSED = frozenset({"full precision", "sine or cosine"})
"""Rules that small operations before the network, and moves after it, may break."""


@dataclass(frozen=True)
class CompatibilityReport:
    """What the rules say of a file.

    macs: of one image. accelerated_macs: those of operations that no rule sends elsewhere.
    stretches: uninterrupted runs of such operations between the first and the last that multiply; 1 is best.
    violations: what should not be. by_design: operations that the rules send elsewhere and that may be there: small
    ones that multiply nothing and come before everything that does (the phases of the ray encoding, in float32), and
    moves that only hand the image out.
    """

    accelerator: str
    operations: int
    macs: int
    accelerated_macs: int
    stretches: int
    violations: tuple[Finding, ...]
    by_design: tuple[Finding, ...]

    @property
    def share(self) -> float:
        """Of the multiply-accumulates, how many are accelerated; 1 where there are none."""
        return self.accelerated_macs / self.macs if self.macs else 1.0

    def lines(self) -> Iterator[str]:
        """For people, a line each."""
        count = f"{len(self.violations)} violations" if self.violations else "no violations"
        stretches = "one stretch" if self.stretches == 1 else f"{self.stretches} stretches"
        yield (
            f"fit for {self.accelerator}: {self.share:.1%} of {self.macs / 1e9:.3f} GMAC in {stretches}, {count} "
            f"among {self.operations} operations (by published rules; only a device can tell)"
        )
        for finding in self.violations:
            yield f"violation: {finding} ({finding.rule.source})"
        for name, group in itertools.groupby(sorted(self.by_design, key=lambda f: f.rule.name), lambda f: f.rule.name):
            found = list(group)
            widest = max((t for f in found for t in f.operation.outputs), key=lambda t: t.elements)
            yield (
                f"by design: {len(found)} small operations off it before the network or after it ({name}), "
                f"the largest gives {shape_text(widest.shape)}"
            )


def judge(graph: Graph) -> CompatibilityReport:
    """Hold the rules of its format against every operation of a file."""
    found = [list(_findings(graph, index)) for index in range(len(graph.operations))]
    macs = [operation_macs(graph.format, op) for op in graph.operations]
    leaves = [any(finding.rule.leaves for finding in each) for each in found]
    working = [index for index, count in enumerate(macs) if count] or [0]
    first, last = working[0], working[-1]
    limit = SMALL_PRELUDE * _image_elements(graph.operations[first]) if graph.operations else 0
    violations: list[Finding] = []
    by_design: list[Finding] = []
    for index, each in enumerate(found):
        op = graph.operations[index]
        excused = (index < first and op.largest <= limit) or (index > last and op.kind in MOVES)
        for finding in each:
            if excused and not finding.rule.leaves:
                continue  # a small one: nothing to gain
            may_be = excused and not macs[index] and finding.rule.name in EXCUSED
            (by_design if may_be else violations).append(finding)
    between = [leaves[index] for index in range(first, last + 1)]
    return CompatibilityReport(
        accelerator=ACCELERATORS[graph.format],
        operations=len(graph.operations),
        macs=sum(macs),
        accelerated_macs=sum(count for count, away in zip(macs, leaves, strict=True) if not away),
        stretches=sum(1 for away, _ in itertools.groupby(between) if not away),
        violations=tuple(violations),
        by_design=tuple(by_design),
    )


def _findings(graph: Graph, index: int) -> Iterator[Finding]:
    for rule in RULES[graph.format]:
        detail = rule.broken(graph, index)
        if detail is not None:
            yield Finding(rule, graph.operations[index], detail)


def _image_elements(op: Operation) -> int:
    return max((one.elements for one in op.inputs if not one.constant), default=0)
