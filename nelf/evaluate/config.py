"""How a run is evaluated."""

from dataclasses import dataclass, field

from nelf.errors import ConfigError
from nelf.evaluate.metrics import METRICS


@dataclass
class EvalConfig:
    """Metrics, report and orbit video."""

    metrics: list[str] = field(default_factory=lambda: list(METRICS))
    """What to measure: any of psnr, ssim, flip, lpips_alex, lpips_vgg; psnr is always measured."""
    lpips: bool = True
    """Whether to measure LPIPS at all; it needs weights that are downloaded once, 244 MB (alex) and 528 MB (vgg)."""
    max_views: int | None = None
    """Most test views to measure, evenly spread over them; null measures all."""
    report_views: int = 6
    """Most views shown in the report: worst, median, best and some between."""
    video_seconds: float = 4.0
    """Length of the orbit video; 0 makes none."""
    video_fps: int = 15
    """Frames per second of the orbit video."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ConfigError(f"eval.metrics names {', '.join(unknown)}; known are {', '.join(METRICS)}")
        if self.max_views is not None and self.max_views < 1:
            raise ConfigError(f"eval.max_views={self.max_views} is too small; use 1 or more, or null for all")
        if self.report_views < 1:
            raise ConfigError(f"eval.report_views={self.report_views} is too small; use 1 or more")
        if self.video_seconds < 0:
            raise ConfigError(f"eval.video_seconds={self.video_seconds} is negative; use 0 for no video")
        if not 1 <= self.video_fps <= 120:
            raise ConfigError(f"eval.video_fps={self.video_fps} is out of range; use 1 to 120")

    @property
    def video_frames(self) -> int:
        """Frames of the orbit video; 0 for none."""
        return round(self.video_seconds * self.video_fps)

    def skipped(self) -> dict[str, str]:
        """Metrics that are not asked for, each with the setting that says so."""
        reasons = {name: "not in eval.metrics" for name in METRICS if name not in self.metrics and name != "psnr"}
        if not self.lpips:
            reasons |= {name: "eval.lpips=false" for name in METRICS if name.startswith("lpips")}
        return reasons
