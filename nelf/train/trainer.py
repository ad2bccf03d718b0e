"""One training step of a student. On a CPU, each core computes some of the views."""

import copy
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nelf.core.devices import FUSED
from nelf.core.optimization import DivergenceRecovery, Readings, StepRandom
from nelf.student import Prediction, Student
from nelf.train.batches import Batch
from nelf.train.config import TrainConfig
from nelf.train.losses import depth_loss, image_loss, premultiplied
from nelf.train.optimizers import OPTIMIZERS, ExponentialMovingAverage

Share = Callable[..., tuple[Tensor, Tensor]]
"""Inputs of some views, one tensor each (or None) -> their mean loss, and the predicted images."""


class PerCoreBackward:
    """Runs backward in as many threads as PyTorch uses on this CPU; each runs its operations on one core.

    Not for networks whose views depend on each other (BatchNorm).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], share: Share) -> None:
        self.parameters = list(parameters)
        self.share = share
        self.threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="shard", initializer=_use_one_thread)
        together = threading.Barrier(self.threads)  # each thread takes one task
        for future in [self._pool.submit(together.wait) for _ in range(self.threads)]:
            future.result()
        # Threads that others start later take the last number set in any thread.
        torch.set_num_threads(self.threads)

    def backward(self, first: Tensor, *others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Set the parameters' gradients to those of the batch's mean loss. Returns that loss and the predicted images.

        Deterministic: shares are added in order.
        """
        count, quantities = len(first), (first, *others)
        parts = zip(*(self._divided(quantity) for quantity in quantities), strict=True)
        futures = [self._pool.submit(self._work, part, len(part[0]) / count) for part in parts if len(part[0])]
        done = [future.result() for future in futures]
        loss, _, gradients = done[0]
        for more, _, theirs in done[1:]:
            loss = loss + more
            torch._foreach_add_(gradients, theirs)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss, torch.cat([predicted for _, predicted, _ in done])

    def _divided(self, quantity: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * self.threads if quantity is None else quantity.tensor_split(self.threads)

    def _work(self, part: Sequence[Tensor | None], weight: float) -> tuple[Tensor, Tensor, list[Tensor]]:
        loss, predicted = self.share(*part)
        loss = loss * weight
        return loss.detach(), predicted.detach(), list(torch.autograd.grad(loss, self.parameters))


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    # A thread reads the process-wide number on first use and keeps it: read it before that changes.
    if torch.get_num_threads() != 1:
        raise RuntimeError("PyTorch does not limit this thread to one core")


class _Predictor(nn.Module):
    """The trained part of the student. Rays are prepared outside: mixed precision must not round poses."""

    def __init__(self, model: Student) -> None:
        super().__init__()
        self.model = model

    def forward(self, rays: Tensor) -> Prediction:
        return self.model.predict(rays)


class StudentTrainer:
    """Trains `model` in place. `average` holds the weights to evaluate and to keep."""

    def __init__(self, model: Student, config: TrainConfig, fabric: Fabric, *, compiled: bool = False) -> None:
        self.config = config
        self.fabric = fabric
        self.device = fabric.device
        self.model = model.to(self.device).train()
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.average = ExponentialMovingAverage(self.model, config.ema_decay)
        predict: Any = _Predictor(self.model)
        self.apart: list[Tensor] = []
        if fabric.world_size > 1:
            if self.device.type == "cuda":  # students without BatchNorm stay as they are
                predict = nn.SyncBatchNorm.convert_sync_batchnorm(predict)
            else:  # SyncBatchNorm needs CUDA: here processes normalise by their own views and average statistics
                self.apart = _statistics(self.model)
        self.prepare = self.model.prepare
        if compiled:
            predict = torch.compile(predict)
            self.prepare = torch.compile(self.model.prepare)
        self.parameters = list(self.model.parameters())
        fused = self.device.type in FUSED
        optimizer = OPTIMIZERS[config.optimizer](self.parameters, config.lr, config.weight_decay, fused)
        self.predict, self.optimizer = fabric.setup(predict, optimizer)
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)  # only with 16-mixed
        self.shards = PerCoreBackward(self.parameters, self._share) if self._divisible(compiled) else None
        if self.shards is not None:  # threads call backward themselves, which Fabric's wrapper does not allow
            self.predict = self._autocast
        self.readings = Readings(self.device)
        self.guard = DivergenceRecovery(
            self._weights,
            self._load_weights,
            fabric.print,
            f"train.lr={config.lr} may be too high; check the images and poses (nelf data check), or set another loss "
            "or optimizer",
        )

    def step(self, batch: Batch, rate: float, key: Sequence[int]) -> tuple[Tensor, Tensor, Tensor] | None:
        """Learn from `batch`. Returns loss, predicted and true images, or None if the step was skipped.

        key: seed of this step's jitter.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.guard.rate_factor
        truth = premultiplied(self._brought(batch.images))
        c2w, intrinsics = self._brought(batch.c2w), self._brought(batch.intrinsics)
        jitter = None
        if self.config.jitter_points:
            rank, ranks = self.fabric.global_rank, self.fabric.world_size
            draws = StepRandom(*key, rank=rank, ranks=ranks, device=self.device)
            jitter = self.model.draw_jitter(draws, len(c2w))
        known = c2w, intrinsics, jitter, truth, self._true_depth(batch)
        if self.shards is not None:
            loss, predicted = self.shards.backward(*known)
        else:
            loss, predicted = self._share(*known)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
        for buffer in self.apart:
            buffer.copy_(self.fabric.all_reduce(buffer))
        if self.readings.every > 1:
            self._step_without_waiting(loss.detach())
        elif self._gradients_are_finite(loss):
            self.guard.good_step()
            self.optimizer.step()
        else:
            self._skip()
            return None
        self.average.update()
        return loss.detach(), predicted.detach(), truth

    def _share(
        self, c2w: Tensor, intrinsics: Tensor, jitter: Tensor | None, truth: Tensor, true_depth: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss and predicted images of some views."""
        with torch.no_grad():
            rays = self.prepare(c2w, intrinsics, jitter)
        image, depth = self.predict(rays)
        loss = image_loss(self.config.loss, image, truth)
        if depth is not None and true_depth is not None:
            loss = loss + self.config.depth_loss_weight * depth_loss(depth, true_depth)
        return loss, image

    def _true_depth(self, batch: Batch) -> Tensor | None:
        """True depth as the student predicts it (fraction of near to far), -1 if unknown."""
        if batch.depths is None:
            return None
        depths = self._brought(batch.depths)
        return torch.where(depths > 0, self.model.frame.fraction_at(depths), -1.0)

    def _brought(self, values: Tensor) -> Tensor:
        """A tensor of the batch, on the device. Only CUDA copies asynchronously, from pinned memory."""
        return values.to(self.device, non_blocking=self.device.type == "cuda")

    def _divisible(self, compiled: bool) -> bool:
        """Whether threads of a CPU may share the views of a batch."""
        alone = self.device.type == "cpu" and self.fabric.world_size == 1 and not compiled
        independent = not any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules())
        return alone and independent and self.config.batch_size > 1 and torch.get_num_threads() > 1

    def _autocast(self, rays: Tensor) -> Prediction:
        """`Student.predict` in the precision of `fabric`, for any thread."""
        with self.fabric.autocast():
            image, depth = self.model.predict(rays)
        return Prediction(image.float(), depth)

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Start again from the weights `state`; optimizer, average and guard are reset."""
        self.model.load_state_dict(state)
        self.optimizer.optimizer.state.clear()
        self.average.restart()
        self.guard.begin_from_here()

    def state(self) -> dict[str, Any]:
        """Everything that steps change, for a checkpoint."""
        return {
            **self._weights(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "rate_factor": self.guard.rate_factor,
            "optimizer_name": self.config.optimizer,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self._load_weights(state)
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        self.guard.begin_from_here(state["rate_factor"])

    def _gradients_are_finite(self, loss: Tensor) -> bool:
        """Also clips gradients. They are the same in all processes, so that all decide the same."""
        clip = self.config.grad_clip
        if self.scaler is not None:
            # The scaler checks for infinite gradients itself, and meets some while it looks for its scale.
            if clip > 0:
                self.fabric.clip_gradients(self.predict, self.optimizer, max_norm=clip, error_if_nonfinite=False)
            total = self.fabric.all_reduce(loss.detach())
            return math.isfinite(float(total))
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not math.isfinite(float(norm)):
            return False
        if clip > 0:
            nn.utils.clip_grads_with_norm_(self.parameters, clip, norm)
        return True

    def _step_without_waiting(self, loss: Tensor) -> None:
        """Update the weights now, and read loss and gradients some steps later.

        Gradients that are not finite count as 0, so the damage is small.
        """
        optimizer = self.optimizer.optimizer
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
            loss = self.fabric.all_reduce(loss)  # unlike gradients, losses differ between processes
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        size = nn.utils.get_total_norm(gradients)
        clip = self.config.grad_clip
        share = (clip / (size + 1e-6)).clamp(max=1.0) if clip > 0 else torch.ones_like(size)
        for gradient in gradients:
            gradient.copy_(torch.where(size.isfinite(), gradient * share, 0.0))
        optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        # The scaler meets infinite gradients while it looks for its scale, so judge the loss then.
        read = self.readings.add([loss if self.scaler is not None else size])
        if not self.guard.late_steps((math.isfinite(value) for (value,) in read), self._is_spoilt):
            self.readings = Readings(self.device)

    def _skip(self) -> None:
        if self.scaler is not None:
            self.optimizer.step()  # skips by itself, and lowers its scale
        self.guard.failed_step(self._is_spoilt())

    def _is_spoilt(self) -> bool:
        """Whether BatchNorm's statistics are not finite. Then only going back helps."""
        return not all(bool(buffer.isfinite().all()) for buffer in self.model.buffers())

    def _weights(self) -> dict[str, Any]:
        """A copy of weights, average and optimizer."""
        return copy.deepcopy(
            {
                "model": {k: v.detach() for k, v in self.model.state_dict().items()},
                "average": dict(self.average.model().state_dict()),
                "average_updates": self.average.updates,
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def _load_weights(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.model().load_state_dict(state["average"])
        self.average.updates = state["average_updates"]
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))


def _statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances of a network's BatchNorm layers."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return [s for norm in norms for s in (norm.running_mean, norm.running_var) if s is not None]
