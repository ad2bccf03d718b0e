"""Training the student."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.train.config import FinetuneConfig, TrainConfig
    from nelf.train.loop import train
    from nelf.train.losses import LOSSES
    from nelf.train.optimizers import OPTIMIZERS
    from nelf.train.schedule import SCHEDULES
else:
    __getattr__ = lazy_names(__name__)

__all__ = ["LOSSES", "OPTIMIZERS", "SCHEDULES", "FinetuneConfig", "TrainConfig", "train"]
