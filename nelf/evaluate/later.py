"""What could not be measured when a run was evaluated, and can be by now: LPIPS, once its weights are there."""

import statistics
from pathlib import Path
from typing import Any

from nelf.evaluate.config import EvalConfig
from nelf.evaluate.lpips_network import Unavailable
from nelf.evaluate.metrics import METRICS
from nelf.evaluate.metrics_file import GROUND_TRUTH, read_metrics
from nelf.evaluate.pictures import read_picture


def measure_later(folder: Path, config: EvalConfig) -> dict[str, Any] | None:
    """The content of `folder`/metrics.json with what was unavailable then, measured on the pictures that are there.

    None where nothing has changed. What `config` does not ask for stays unavailable.
    """
    metrics, changed = read_metrics(folder), False
    for model, result in metrics.items():
        for metric in sorted(result["unavailable"].keys() - config.skipped().keys()):
            try:
                found = {
                    view: METRICS[metric](*(read_picture(folder / of / f"{view}.png") for of in (model, GROUND_TRUTH)))
                    for view in result["views"]
                }
            except Unavailable as reason:
                changed |= str(reason) != result["unavailable"][metric]
                result["unavailable"][metric] = str(reason)
                continue
            for view, value in found.items():
                result["views"][view][metric] = value
            result[metric] = statistics.fmean(found.values())
            del result["unavailable"][metric]
            changed = True
    return metrics if changed else None
