"""Evaluate models: metrics, pictures, report, orbit video."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.evaluate.config import EvalConfig
    from nelf.evaluate.evaluation import (
        GROUND_TRUTH,
        METRICS_FILE,
        Progress,
        Renderer,
        chosen_views,
        evaluate,
        fill_missing_metrics,
        measure,
        measured_on,
        read_metrics,
    )
    from nelf.evaluate.html import figure
    from nelf.evaluate.lpips_weights import lpips_is_here, offer_lpips
    from nelf.evaluate.metrics import (
        METRICS,
        PSNR_CAP,
        MetricUnavailable,
        flip_map,
        ground_truth,
        psnr,
        read_picture,
        to_8bit,
        write_picture,
    )
    from nelf.evaluate.orbit_video import orbit_poses, write_video
    from nelf.evaluate.report import (
        EVAL_FOLDER,
        ORBIT_FILE,
        PICTURE_BUDGET,
        REPORT_FILE,
        ModelInfo,
        RunInfo,
        render_report,
        write_report,
    )
    from nelf.evaluate.summary import SUMMARY_FILE, RunFigures, mean, means, write_summary_page
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "EVAL_FOLDER",
    "GROUND_TRUTH",
    "METRICS",
    "METRICS_FILE",
    "ORBIT_FILE",
    "PICTURE_BUDGET",
    "PSNR_CAP",
    "REPORT_FILE",
    "SUMMARY_FILE",
    "EvalConfig",
    "MetricUnavailable",
    "ModelInfo",
    "Progress",
    "Renderer",
    "RunFigures",
    "RunInfo",
    "chosen_views",
    "evaluate",
    "figure",
    "fill_missing_metrics",
    "flip_map",
    "ground_truth",
    "lpips_is_here",
    "mean",
    "means",
    "measure",
    "measured_on",
    "offer_lpips",
    "orbit_poses",
    "psnr",
    "read_metrics",
    "read_picture",
    "render_report",
    "to_8bit",
    "write_picture",
    "write_report",
    "write_summary_page",
    "write_video",
]
