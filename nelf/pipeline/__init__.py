"""From photos to verified bundles: configuration, run folders and stages. Only `cli` imports this package."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.pipeline.config import Config, as_yaml, compose_config, config_folder, typed
    from nelf.pipeline.evaluate_stage import run_figures, write_summary
    from nelf.pipeline.export_stage import TrainingPhotos, bundles_for, export_to, ready_bundles
    from nelf.pipeline.overrides import is_run, quoted
    from nelf.pipeline.run import Run, report_import
    from nelf.pipeline.stages import NEEDS, STAGES, new_student
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "NEEDS",
    "STAGES",
    "Config",
    "Run",
    "TrainingPhotos",
    "as_yaml",
    "bundles_for",
    "compose_config",
    "config_folder",
    "export_to",
    "is_run",
    "new_student",
    "quoted",
    "ready_bundles",
    "report_import",
    "run_figures",
    "typed",
    "write_summary",
]
