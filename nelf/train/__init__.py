"""Training the student."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.train.config import SCHEDULES, FinetuneConfig, TrainConfig
    from nelf.train.loop import train
    from nelf.train.losses import LOSSES
    from nelf.train.optimizers import OPTIMIZERS
else:
    __getattr__ = lazy_names(__name__)

__all__ = ["LOSSES", "OPTIMIZERS", "SCHEDULES", "FinetuneConfig", "TrainConfig", "train"]
