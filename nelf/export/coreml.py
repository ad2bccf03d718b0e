"""To a Core ML package (ML Program). The only file that imports coremltools for writing."""

import importlib.util
import json
import uuid
from pathlib import Path
from typing import Any

import torch

from nelf.errors import ExportError
from nelf.export.graph import INPUT, OUTPUT, ExportGraph
from nelf.export.quiet import quiet

DEPLOYMENTS = {"16": "iOS16", "17": "iOS17", "18": "iOS18"}
"""Lowest iOS version that the package runs on -> name of coremltools' target."""

FP32_OPS = frozenset({"sin", "cos"})


def refuse_tensorflow() -> None:
    """Raise ExportError where coremltools would import tensorflow: beside torch 2.14 the process then segfaults."""
    if importlib.util.find_spec("tensorflow") is not None:
        raise ExportError(
            "Core ML export is not possible while tensorflow is installed: coremltools imports it and the process "
            "crashes; remove it with: pip uninstall tensorflow"
        )


def convert(graph: ExportGraph, precision: str, path: Path, deployment: str) -> None:
    """Write `graph` as the package `path` (a folder ending in .mlpackage)."""
    refuse_tensorflow()
    with quiet("the Core ML conversion"):
        import coremltools as ct

        pose = torch.eye(3, 4)[None]
        program = torch.export.export(graph, (pose,)).run_decompositions({})
        model = ct.convert(
            program,
            inputs=[ct.TensorType(INPUT, shape=tuple(pose.shape), dtype=float)],
            outputs=[ct.TensorType(OUTPUT, dtype=float)],
            minimum_deployment_target=getattr(ct.target, DEPLOYMENTS[deployment]),
            compute_precision=_half(ct) if precision == "fp16" else ct.precision.FLOAT32,
            skip_model_load=True,  # there is no Core ML off macOS
        )
        model.input_description[INPUT] = "camera to world, 3x4, OpenGL axes"
        model.output_description[OUTPUT] = "height x width x RGB(A), 0 to 1, colour premultiplied by alpha"
        model.save(str(path))
        _make_reproducible(ct, path)


def _half(ct: Any) -> Any:
    """Half precision for all operations but the trigonometry and what leads to it: half a phase is no phase."""
    exact: dict[int, set[str]] = {}  # by program, filled before the pass changes its first operation

    def selected(op: Any) -> bool:
        block = op.enclosing_block
        if id(block) not in exact:
            exact[id(block)] = _leading_to_trigonometry(block)
        return op.name not in exact[id(block)]

    return ct.transform.FP16ComputePrecision(op_selector=selected)


def _leading_to_trigonometry(block: Any) -> set[str]:
    names: set[str] = set()
    for op in reversed(list(block.operations)):
        if op.op_type in FP32_OPS or any(user.name in names for out in op.outputs for user in out.child_ops):
            names.add(op.name)
    return names


def _make_reproducible(ct: Any, path: Path) -> None:
    """Random identifiers and hash-ordered maps of the package, replaced by fixed ones: same model, same bytes."""
    manifest = path / "Manifest.json"
    content = json.loads(manifest.read_text())
    renamed = {old: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper()
               for old, entry in content["itemInfoEntries"].items()}  # fmt: skip
    content["itemInfoEntries"] = {renamed[old]: entry for old, entry in content["itemInfoEntries"].items()}
    content["itemInfoEntries"] = dict(sorted(content["itemInfoEntries"].items()))
    content["rootModelIdentifier"] = renamed[content["rootModelIdentifier"]]
    manifest.write_text(json.dumps(content, indent=4))
    (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # for a debugger that nobody runs
    (file,) = path.rglob("*.mlmodel")
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    file.write_bytes(spec.SerializeToString(deterministic=True))
