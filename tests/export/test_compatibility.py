"""Compatibility with accelerators: our presets break no rule, and each rule finds a planted violation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nelf.compatibility import (
    RULES,
    CompatibilityReport,
    Finding,
    Format,
    Graph,
    Operation,
    TensorFacts,
    check_compatibility,
    read_graph,
)
from nelf.core.captured_output import captured_output
from nelf.export import TARGETS, CalibrationViews, ExportGraph
from nelf.export.graph import Request
from nelf.student import Mapping, Student, count_macs, make_student
from tests.export.conftest import Exported
from tests.export.networks import around, student
from tests.export.programs import converted
from tests.student.small import all_levels
from tests.student.small import preset as preset_config

pytestmark = pytest.mark.slow


def preset(name: str, channels: int) -> Student:
    """A preset of configs/student with untrained weights, for 40x56 pixels."""
    frame = student(channels=channels, size=(40, 56)).frame
    return make_student(preset_config(name), frame).eval()


def exported(network: Student, target: str, precision: str, folder: Path) -> CompatibilityReport:
    chosen = TARGETS[target]
    path = folder / chosen.file
    graph = ExportGraph(network, chosen.layout, chosen.forms[precision].dtype)
    chosen.convert(Request(graph, precision, path, CalibrationViews(around(0))))
    return check_compatibility(read_graph(path))


def besides_rows(fit: CompatibilityReport) -> list[Finding]:
    """Violations, except copies from table reads: rows of samples to an image, or back."""
    copies = [finding for finding in fit.violations if finding.rule.name == "layout copy"]
    of_rows = [finding.operation for finding in copies if _moves_rows(finding.operation)]
    images = {op.outputs[0].name for op in of_rows}
    turned = [f.operation for f in copies if f.operation.kind == "transpose" and f.operation.inputs[0].name in images]
    return [f for f in fit.violations if f not in copies or f.operation not in (*of_rows, *turned)]


def _moves_rows(op: Operation) -> bool:
    axes = len(op.inputs[0].shape), len(op.outputs[0].shape)
    return op.kind in ("reshape", "RESHAPE") and min(axes) <= 2 and max(axes) == 4


READS = 5
"""Layers that take features of tables, each an image of its own: one of each volume, three of the planes."""


@pytest.mark.parametrize(("name", "channels"), [("m", 4), ("s", 3)])
def test_the_gpu_delegate_takes_all_of_our_presets(name: str, channels: int, tmp_path: Path) -> None:
    network = preset(name, channels)
    fit = exported(network, "android", "fp32", tmp_path)
    assert besides_rows(fit) == []
    assert 0 < len(fit.violations) <= READS, "those of small tables cost too little to be told"
    assert fit.macs == fit.accelerated_macs == count_macs(network)
    assert fit.segments == 1


def test_reading_tables_leaves_the_neural_engine(tmp_path: Path) -> None:
    """The report lists the gathers and the float32 positions. The convolutions between them may still run there.

    Each image made of rows is then permuted to channels first.
    """
    network = preset("m", 4)
    fit = exported(network, "ios", "fp16", tmp_path)
    found = besides_rows(fit)
    assert {finding.rule.name for finding in found} == {"unfit operation", "full precision"}
    gathers = [f.operation.kind for f in found if f.rule.name == "unfit operation"]
    assert set(gathers) == {"gather"}
    assert len(fit.violations) - len(found) <= 2 * READS
    assert fit.macs == fit.accelerated_macs == count_macs(network)
    assert 1 < fit.segments <= len(gathers) + 1


def test_lines_need_no_gather(tmp_path: Path) -> None:
    """The reader for the Neural Engine: products with hat functions, as matrix products."""
    network = student(channels=4, size=(40, 56), **all_levels(reader="lines"))
    fit = exported(network, "ios", "fp16", tmp_path)
    assert {finding.rule.name for finding in besides_rows(fit)} == {"full precision"}


@pytest.mark.parametrize(("target", "precision"), [("ios", "fp16"), ("android", "fp32")])
def test_a_network_of_encoded_rays_breaks_no_rule(target: str, precision: str, tmp_path: Path) -> None:
    network = student("mobiler2l", channels=4, size=(40, 56))
    fit = exported(network, target, precision, tmp_path)
    assert fit.violations == ()
    assert fit.macs == fit.accelerated_macs == count_macs(network)
    assert fit.segments == 1
    phases = {finding.operation.kind for finding in fit.by_design}
    assert ({"sin", "cos"} <= phases) == (target == "ios"), "float32 by design; the rule is the Neural Engine's alone"


def test_weights_stored_as_halves_change_nothing(bundles: Exported) -> None:
    graph = read_graph(bundles["android", "fp16"][0] / "model.tflite")
    assert besides_rows(check_compatibility(graph)) == []
    assert "DEQUANTIZE" not in {op.kind for op in graph.operations}


def test_a_package_in_full_precision_keeps_nothing_on_the_neural_engine(bundles: Exported) -> None:
    fit = check_compatibility(read_graph(bundles["ios", "fp32"][0] / "model.mlpackage"))
    found = besides_rows(fit)
    assert {finding.rule.name for finding in found} == {"full precision", "unfit operation"}
    assert {f.operation.kind for f in found if f.rule.name == "unfit operation"} == {"gather"}
    assert fit.share == 0
    assert "fit for the Neural Engine: 0.0% of" in next(fit.lines())


def test_large_phases_in_full_precision_are_no_small_matter(tmp_path: Path) -> None:
    """Normalised device coordinates take sines over the whole grid, which then leave the accelerator."""
    fit = exported(student("mobiler2l", Mapping.NDC.value, size=(40, 56)), "ios", "fp16", tmp_path)
    assert {"sin", "cos"} <= {finding.operation.kind for finding in fit.violations}


# Planted, Core ML

IMAGE = torch.zeros(1, 8, 6, 10)


class Between(nn.Module):
    """A convolution, the planted operation, a convolution."""

    def __init__(self, planted: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.planted = planted

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.planted(self.first(x)))


class Normalised(nn.Module):
    """A BatchNorm that the converter cannot fold, since something separates it from the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(functional.relu(x))


def turned(x: Tensor) -> Tensor:
    return functional.conv2d(x.transpose(2, 3), torch.ones(8, 8, 1, 3), padding=(0, 1)).transpose(2, 3)


def five_axes(x: Tensor) -> Tensor:
    return x.reshape(1, 2, 4, 6, 10).permute(0, 2, 1, 3, 4).reshape(1, 8, 6, 10)


CORE_ML_CASES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "five axes": (five_axes, "rank above 4"),
    "gather": (lambda x: x[:, torch.tensor([3, 0, 1, 2, 7, 6, 5, 4])], "unfit operation"),
    "sine": (torch.sin, "sine or cosine"),
    "cosine": (torch.cos, "sine or cosine"),
    "dilation": (lambda x: functional.conv2d(x, torch.ones(8, 8, 3, 3), padding=2, dilation=2), "dilated convolution"),
    "norm": (Normalised(), "unfolded BatchNorm"),
    "transposition": (turned, "layout copy"),
}


@pytest.mark.parametrize("case", CORE_ML_CASES)
def test_planted_in_a_package(case: str, tmp_path: Path) -> None:
    planted, rule = CORE_ML_CASES[case]
    path = converted(Between(planted).eval(), IMAGE, tmp_path / "planted.mlpackage", half=True)
    fit = check_compatibility(read_graph(path))
    assert rule in {finding.rule.name for finding in fit.violations}
    leaves = next(found.leaves for found in RULES[Format.CORE_ML] if found.name == rule)
    assert (fit.segments > 1) == leaves, "the work before it and after it is apart then"
    assert any(line.startswith(f"violation: {rule}: ") for line in fit.lines())


def test_a_package_with_a_dynamic_shape(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.mlpackage"
    with captured_output("converting"):
        import coremltools as ct

        program = torch.jit.trace(Between(functional.relu).eval(), IMAGE)
        shape = ct.Shape((1, 8, ct.RangeDim(6, 20, default=6), 10))
        model = ct.convert(
            program,
            inputs=[ct.TensorType("x", shape=shape)],
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )
        model.save(str(path))
    fit = check_compatibility(read_graph(path))
    assert "dynamic shape" in {finding.rule.name for finding in fit.violations}
    assert any("x?x10" in line for line in fit.lines())
    assert fit.share == 0


# Planted, LiteRT


def lite(module: nn.Module, path: Path) -> CompatibilityReport:
    with captured_output("converting"):
        import litert_torch

        litert_torch.convert(module.eval(), (IMAGE,)).export(str(path))
    return check_compatibility(read_graph(path))


LITE_CASES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "five axes": (five_axes, "rank above 4"),
    "transposition": (turned, "layout copy"),
}


@pytest.mark.parametrize("case", LITE_CASES)
def test_planted_in_a_lite_file(case: str, tmp_path: Path) -> None:
    planted, rule = LITE_CASES[case]
    fit = lite(Between(planted), tmp_path / "planted.tflite")
    assert rule in {finding.rule.name for finding in fit.violations}


# Planted, ONNX, and by hand


def test_an_onnx_file_with_a_dynamic_shape_and_a_norm(tmp_path: Path) -> None:
    def value(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "height", 4])

    parameters = [onnx.numpy_helper.from_array(np.ones(3, np.float32), name) for name in "abcd"]
    norm = onnx.helper.make_node("BatchNormalization", ["x", *"abcd"], ["y"])
    graph = onnx.helper.make_graph([norm], "planted", [value("x")], [value("y")], parameters)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "planted.onnx")
    fit = check_compatibility(read_graph(tmp_path / "planted.onnx"))
    assert [finding.rule.name for finding in fit.violations] == ["dynamic shape", "unfolded BatchNorm"]


def operation(kind: str, inputs: list[tuple[int | None, ...]], output: tuple[int | None, ...], **attributes: object):  # type: ignore[no-untyped-def]
    facts = [TensorFacts(f"in{i}", shape, "float32") for i, shape in enumerate(inputs)]
    return Operation(kind, kind.lower(), tuple(facts), (TensorFacts("out", output, "float32"),), attributes)


@pytest.mark.parametrize(
    ("planted", "detail"),
    [
        (operation("BROADCAST_TO", [(1, 1, 4, 8)], (1, 6, 4, 8)), "BROADCAST_TO is not supported"),
        (operation("CUSTOM", [(1, 4)], (1, 4), custom="FlexErf"), "FlexErf is not supported"),
        (operation("SLICE", [(5, 7)], (5, 3)), "rank 2, 3 or 4 are allowed"),
        (operation("STRIDED_SLICE", [(1, 5, 7)], (5, 7), shrinkAxisMask=1), "uses shrinkAxisMask"),
        (operation("TRANSPOSE_CONV", [(4,), (8, 2, 2, 8), (1, 4, 4, 8)], (1, 8, 8, 8), version=4), "version 4"),
        (operation("MUL", [(1, 6, 4, 8), (6, 3)], (1, 6, 4, 8)), "do not broadcast"),
        (operation("SOFTMAX", [(1, 8)], (1, 8), beta=2.0), "beta is not 1"),
        (operation("RESHAPE", [(None, 8)], (None, 2, 4)), "has the shape ?x8"),
    ],
)
def test_what_the_gpu_delegate_refuses(planted: Operation, detail: str) -> None:
    fit = check_compatibility(Graph(Format.LITE, (planted,)))
    assert any(detail in finding.detail for finding in fit.violations), [str(f) for f in fit.violations]


def test_factors_that_a_batch_norm_left_behind() -> None:
    """LiteRT's converter folds them itself, so none of its files has them."""
    image, weights = TensorFacts("x", (1, 4, 4, 8), "float32"), TensorFacts("w", (6, 3, 3, 8), "float32", True)
    features = TensorFacts("features", (1, 4, 4, 6), "float32")
    convolution = Operation("CONV_2D", "conv", (image, weights), (features,))

    def scaled(*factors: int) -> list[str]:
        product = Operation("MUL", "scale", (features, TensorFacts("f", factors, "float32", True)), (image,))
        return [
            finding.rule.name for finding in check_compatibility(Graph(Format.LITE, (convolution, product))).violations
        ]

    assert scaled(6) == scaled(1, 1, 1, 6) == ["unfolded BatchNorm"]
    assert scaled() == [], "one factor for all is no normalisation"


def test_every_rule_names_its_source() -> None:
    for rules in RULES.values():
        assert len({rule.name for rule in rules}) == len(rules)
        assert all("http" in rule.source or "et al." in rule.source for rule in rules)
