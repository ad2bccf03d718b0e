"""Export the shared student's forms once more: `python -m tests.export.again FOLDER TARGET-PRECISION...`."""

import sys
from pathlib import Path

import torch

from nelf.export import TARGETS, ExportConfig, export_bundle
from tests.export.networks import context, usual

if __name__ == "__main__":
    torch.set_num_threads(1)  # as in the fixture that it is compared with
    model = usual()
    for form in sys.argv[2:]:
        target = next(name for name in TARGETS if form.startswith(f"{name}-"))
        precision = form.removeprefix(f"{target}-")
        export_bundle(model, target, precision, context(model=model), ExportConfig(), Path(sys.argv[1]) / form)
