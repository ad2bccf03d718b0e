"""Core AI's runtime: on Linux that of coreai-core, on the CPU. Imported only when a model is opened."""

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nelf.core.errors import BenchError, ExportError
from nelf.runtime.protocol import INPUT, OUTPUT, Arrays, OperationTime, Signature

ENTRY = "main"
"""Name of the function in an asset."""


def refuse_missing() -> None:
    """Raise ExportError if Apple's packages are not installed."""
    if importlib.util.find_spec("coreai_torch") is None or importlib.util.find_spec("coreai") is None:
        raise ExportError(
            "the target coreai is experimental and needs Apple's coreai-torch (macOS, or Linux on x86-64); "
            "install it with: pip install 'nelf[coreai]'"
        )


class CoreAIModel:
    """A loaded .aimodel folder."""

    def __init__(self, path: Path) -> None:
        self._function = asyncio.run(_load(path))

    @property
    def signatures(self) -> list[Signature]:
        """See `RuntimeModel`."""
        return [{INPUT: ((1, 3, 4), "float32")}]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`."""
        from coreai.runtime import NDArray as Array

        results = asyncio.run(self._function({name: Array(value) for name, value in inputs.items()}))
        return {OUTPUT: results[OUTPUT].numpy().copy()}

    def profile(self, inputs: Arrays, frames: int) -> Sequence[OperationTime]:
        """Raises BenchError: this runtime has no profiler."""
        raise BenchError("Core AI's runtime for Linux has no profiler; measure on Apple's systems")


async def _load(path: Path) -> Any:
    from coreai.authoring import AIModelAsset

    async with AIModelAsset.load(path).executable() as model:
        return model.load_function(ENTRY)


def open_model(path: Path, threads: int) -> CoreAIModel:
    """The asset in Core AI's runtime, which chooses its own threads."""
    refuse_missing()
    return CoreAIModel(path)
