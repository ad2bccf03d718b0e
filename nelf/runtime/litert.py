"""LiteRT with the XNNPACK delegate. Imported only when a model is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nelf.core.errors import ExportError
from nelf.runtime.litert_profiler import profile_file
from nelf.runtime.litert_structure import check_lite
from nelf.runtime.protocol import Arrays, OperationTime, Signature, medians


class LiteRtModel:
    """A loaded .tflite file, called by its signatures (without signatures, by its tensors' names)."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        check_lite(path.read_bytes(), path.name)
        self._path, self._threads = path, threads
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs, self._outputs = _by_name(self._interpreter)
        names = self._interpreter.get_signature_list()
        several = [self._interpreter.get_signature_runner(name) for name in names] if len(names) > 1 else []
        self.signatures = [_signature(one.get_input_details()) for one in several] or [_signature(self._inputs)]
        """See `RuntimeModel`."""
        shapes = [{name: shape for name, (shape, _) in one.items()} for one in self.signatures]
        self._several = list(zip(shapes, several, strict=False))

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`. Raises ExportError if no signature takes these shapes."""
        if self._several:
            return self._by_shapes(inputs)
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], inputs[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(detail["index"]) for name, detail in self._outputs.items()}

    def _by_shapes(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {name: array.shape for name, array in inputs.items()}
        for shapes, call in self._several:
            if shapes == given:
                found: dict[str, NDArray[Any]] = call(**inputs)
                return found
        raise ExportError(f"{self._path} has no signature for inputs of {given}; export it again")

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        """See `RuntimeModel`."""
        return medians(profile_file(self._path, self._threads, list(inputs.values()), frames))


def _signature(details: Mapping[str, Any]) -> Signature:
    return {
        name: (tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name)
        for name, detail in details.items()
    }


def _by_name(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs = {detail["index"]: detail for detail in interpreter.get_input_details()}
    outputs = {detail["index"]: detail for detail in interpreter.get_output_details()}
    for signature in interpreter._get_full_signature_list().values():
        return (
            {name: inputs[index] for name, index in signature["inputs"].items()},
            {name: outputs[index] for name, index in signature["outputs"].items()},
        )
    return {d["name"]: d for d in inputs.values()}, {d["name"]: d for d in outputs.values()}


def open_model(path: Path, threads: int) -> LiteRtModel:
    """Open the file in LiteRT on `threads` threads. Raises ExportError if it is damaged."""
    return LiteRtModel(path, threads)
