"""Training the student."""

from nelf.train.config import FinetuneConfig, TrainConfig
from nelf.train.loop import train
from nelf.train.losses import LOSSES
from nelf.train.optimizers import OPTIMIZERS
from nelf.train.schedule import SCHEDULES

__all__ = ["LOSSES", "OPTIMIZERS", "SCHEDULES", "FinetuneConfig", "TrainConfig", "train"]
