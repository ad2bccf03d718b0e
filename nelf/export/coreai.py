"""Export to an asset of Core AI, Apple's framework from iOS 27 on.

Experimental: the packages are betas (coreai-core 1.0.0b3) and an extra (`nelf[coreai]`). Their runtime for Linux runs
on the CPU: it shows that the asset holds the right network, not how fast a phone runs it.
"""

import json
from pathlib import Path
from typing import Any

import torch

from nelf.core.captured_output import captured_output
from nelf.export.graph import ExportGraph, Request
from nelf.runtime.coreai import ENTRY, refuse_missing
from nelf.runtime.protocol import INPUT, OUTPUT

EPOCH = 0.0  # creation date of every asset, seconds since 1970: the same checkpoint gives the same bytes

RANDOM_NAMES = "coreai-core gives each weight a random name, different in each process"
VARYING = {
    "model.aimodel/main.mlirb": RANDOM_NAMES,
    "model.aimodel/main.hash": "the hash of main.mlirb",
}
"""File -> why its bytes differ between exports."""


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
