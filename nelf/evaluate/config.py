"""Settings of a run's evaluation."""

from dataclasses import dataclass

from nelf.core.settings import OneOf, Range, check, setting

METRICS = ("psnr", "ssim", "flip", "lpips_alex", "lpips_vgg")


@dataclass
class EvalConfig:
    """Metrics, report and orbit video."""

    metrics: list[str] = setting(list(METRICS), OneOf(METRICS))
    """Metrics to measure: any of psnr, ssim, flip, lpips_alex, lpips_vgg; psnr is always measured."""
    lpips: bool = True
    """Whether to measure LPIPS, where its weights are here; `nelf eval RUN --download-lpips` fetches them, 64 MB."""
    max_views: int | None = setting(None, Range(1, 1_000_000))
    """Most test views to measure, evenly spread; null measures all."""
    report_views: int = setting(6, Range(1, 10_000))
    """Most views shown in the report: worst, median, best and some between."""
    video_seconds: float = setting(4.0, Range(0, 600), unit="seconds")
    """Length of the orbit video in seconds; 0 makes none."""
    video_fps: int = setting(15, Range(1, 120))
    """Frames per second of the orbit video."""

    def __post_init__(self) -> None:
        check(self, "eval")

    @property
    def video_frames(self) -> int:
        """Frames of the orbit video; 0 for none."""
        return round(self.video_seconds * self.video_fps)

    @property
    def measures_lpips(self) -> bool:
        """Whether LPIPS is asked for."""
        return self.lpips and any(name.startswith("lpips") for name in self.metrics)

    def skipped(self) -> dict[str, str]:
        """Metrics that are not measured, each with the setting that excludes it."""
        reasons = {name: "not in eval.metrics" for name in METRICS if name not in self.metrics and name != "psnr"}
        if not self.lpips:
            reasons |= {name: "eval.lpips=false" for name in METRICS if name.startswith("lpips")}
        return reasons
