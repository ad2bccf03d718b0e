"""Export to Core AI, Apple's framework from iOS 27 on, and its runtime. The only file that imports coreai.

Experimental: the packages are betas (coreai-core 1.0.0b3) and an extra (`nelf[coreai]`). Their runtime for Linux runs
on the CPU: it shows that the asset holds the right network, not how fast a phone runs it.
"""

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.export.graph import ExportGraph, Request
from nelf.runtime.protocol import INPUT, OUTPUT
from nelf.runtime.session import Session

ENTRY = "main"
EPOCH = 0.0  # creation date of every asset, seconds since 1970: the same checkpoint gives the same bytes

RANDOM_NAMES = "coreai-core gives each weight a random name, different in each process"
VARYING = {
    "model.aimodel/main.mlirb": RANDOM_NAMES,
    "model.aimodel/main.hash": "the hash of main.mlirb",
}
"""File -> why its bytes differ between exports."""


def refuse_missing() -> None:
    """Raise ExportError if Apple's packages are not installed."""
    if importlib.util.find_spec("coreai_torch") is None or importlib.util.find_spec("coreai") is None:
        raise ExportError(
            "the target coreai is experimental and needs Apple's coreai-torch (macOS, or Linux on x86-64); "
            "install it with: pip install 'nelf[coreai]'"
        )


def export(request: Request) -> None:
    """Write the asset that `request` asks for."""
    convert(request.graph, request.path)


def convert(graph: ExportGraph, path: Path) -> None:
    """Write `graph` as the asset `path` (a folder ending in .aimodel), in the graph's own precision."""
    refuse_missing()
    with captured_output("the Core AI conversion"):
        from coreai_torch import TorchConverter, get_decomp_table

        pose = torch.eye(3, 4)[None]
        program = torch.export.export(graph, (pose,)).run_decompositions(get_decomp_table())
        converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
        converter.add_exported_program(program, input_names=[INPUT], output_names=[OUTPUT], entrypoint_name=ENTRY)
        asset = converter.to_coreai().save_asset(path)
        asset.update_metadata(_at_the_epoch)
        metadata = path / "metadata.json"  # which has hash order
        metadata.write_text(json.dumps(json.loads(metadata.read_text()), indent=2, sort_keys=True) + "\n")


def _at_the_epoch(metadata: Any) -> None:
    metadata.creation_date = EPOCH


def load(path: Path) -> Session:
    """The asset in Core AI's runtime: on Linux that of coreai-core, on the CPU."""
    refuse_missing()
    with captured_output(f"loading {path.name} in Core AI"):
        from coreai.runtime import NDArray

        function = asyncio.run(_load(path))

    def render(pose: Tensor) -> Tensor:
        results = asyncio.run(function({INPUT: NDArray(pose.numpy())}))
        return torch.from_numpy(results[OUTPUT].numpy().copy())

    return Session("Core AI", render)


async def _load(path: Path) -> Any:
    from coreai.authoring import AIModelAsset

    async with AIModelAsset.load(path).executable() as model:
        return model.load_function(ENTRY)
