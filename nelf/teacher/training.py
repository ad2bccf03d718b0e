"""Train a teacher: the table of training pixels, and the loop."""

import copy
import functools
import math
import time
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from nelf.core.cameras import Rays, pixel_grid, rays_through
from nelf.core.checkpoints import CheckpointFolder
from nelf.core.devices import FUSED, agree_on_step, fits, sync, unscaled
from nelf.core.errors import CheckpointError, Interrupted, SceneError
from nelf.core.images import psnr_of
from nelf.core.optimization import DivergenceRecovery, Readings
from nelf.core.progress import ProgressLine, Stop
from nelf.kernels.line_adam import LineAdam, line_gradient
from nelf.kernels.random_numbers import draws_on
from nelf.scene import Views
from nelf.teacher.config import TeacherConfig
from nelf.teacher.field import RadianceField


class PixelTable:
    """All pixels of some views, as uint8 on `device`, or on the CPU if they do not fit there.

    Rays are computed on `device` on demand.
    """

    def __init__(self, views: Views, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        images = views.images()
        colors = images.reshape(-1, images.shape[-1])
        self.colors = colors.to(self.device) if fits(self.device, colors.nbytes) else colors
        self.c2w = views.c2w.to(self.device)
        self.intrinsics = views.intrinsics.to(self.device)
        self.grid = pixel_grid(views.height, views.width, self.device).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.colors)

    def rays(self, index: Int[Tensor, "n"]) -> Rays:
        """Rays through the pixels `index`."""
        view, pixel = index // len(self.grid), index % len(self.grid)
        return rays_through(self.grid[pixel], self.c2w[view], self.intrinsics[view])

    def rgba(self, index: Int[Tensor, "n"]) -> Float[Tensor, "n 4"]:
        """Straight colour and alpha (1 if the images have none) of the pixels `index`."""
        color = self.colors[index.to(self.colors.device)].to(self.device).float() / 255
        return color if color.shape[1] == 4 else torch.cat([color, color.new_ones(len(color), 1)], dim=1)


RATE_FLOOR = 0.01  # final learning rate, as a share of the initial one
RATE_WARM_UP = 50  # steps
ROOM = 0.9  # share of the batch that an accelerator fills: samples beyond the batch are dropped
AT_ONCE = 1 << 18  # pixels per chunk of the search for informative ones


class Trainer:
    """State of a teacher's training: everything that a checkpoint must hold."""

    def __init__(self, field: RadianceField, views: Views, config: TeacherConfig, fabric: Fabric) -> None:
        self.config = config
        self.fabric = fabric
        field.to(fabric.device)
        self.table = PixelTable(views, fabric.device)
        field.on_training_views(views)
        self.useful = informative_pixels(field, self.table, fabric)
        self.drawn_from = len(self.table) if self.useful is None else len(self.useful)
        if self.drawn_from == 0:
            raise SceneError(
                "no training pixel sees anything within the scene's bounds, so there is nothing to learn; "
                "check alpha, poses, near and far with `nelf data check`"
            )
        optimizer = LineAdam(
            field.parameter_groups(),
            lr=config.lr,
            betas=(0.9, 0.99),
            eps=1e-15,
            fused=fabric.device.type in FUSED,
        )
        if fabric.device.type == "cpu":
            for table in field.tables():
                optimizer.work_by_lines(table, keep=fabric.world_size == 1)
        self.field = field
        self.model, self.optimizer = fabric.setup(field, optimizer)
        self.model.mark_forward_method("render_train_in_float32")
        self.step = 0
        self.seconds = 0.0
        self.rays = min(config.max_rays_per_step, max(256, config.samples_per_step // 16))
        self.error = math.nan
        self.readings = Readings(fabric.device)
        self.guard = DivergenceRecovery(
            lambda: copy.deepcopy([self.field.state_dict(), self.optimizer.state_dict()]),
            self._load,
            fabric.print,
            f"teacher.lr={config.lr} may be too high; check the images and poses (nelf data check)",
        )

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "field": self.field.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate_factor": self.guard.rate_factor,
            "seconds": self.seconds,
            "rays": self.rays,
            "error": self.error,
        }

    def restore(self, step: int, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises KeyError, ValueError or RuntimeError if it belongs to another teacher."""
        self._load([state["field"], state["optimizer"]])
        self.step, self.seconds = step, state["seconds"]
        self.rays, self.error = state["rays"], state["error"]
        self.guard.begin_from_here(state["rate_factor"])

    def _load(self, state: list[dict[str, Any]]) -> None:
        self.field.load_state_dict(state[0])
        self.optimizer.load_state_dict(copy.deepcopy(state[1]))  # it keeps the given tensors

    def progress(self) -> float:
        """Share of the training that is done, by time or by steps, whichever is larger."""
        shares = []
        if self.config.max_minutes is not None:
            shares.append(self.seconds / (60 * self.config.max_minutes))
        if self.config.max_steps is not None:
            shares.append(self.step / self.config.max_steps)
        return max(shares)

    @property
    def total(self) -> tuple[float, str]:
        """Size and unit of the training, for the progress line."""
        if self.config.max_minutes is not None:
            return self.config.max_minutes, "min"
        return float(self.config.max_steps or 0), "steps"

    @property
    def psnr(self) -> float:
        """PSNR of the last steps' rays in dB; NaN before the first step."""
        return psnr_of(self.error, 100.0)

    def advance(self) -> None:
        """One training step."""
        began = time.perf_counter()
        self._set_rate()
        with unscaled(self.fabric):
            loss, samples = self._learn()
            if self.readings.every == 1:
                self._step(loss, samples)
            else:
                self._step_without_waiting(loss, samples)
        self.optimizer.zero_grad()
        self.step += 1
        self.seconds += time.perf_counter() - began

    def _learn(self) -> tuple[Tensor, int | Tensor]:
        """Compute the gradients of one batch. Returns its loss and number of samples."""
        device = self.fabric.device
        # A new seed for every step: an exact resume needs no generator state.
        ranks = {"rank": self.fabric.global_rank, "ranks": self.fabric.world_size}
        draws = draws_on(device, self.config.seed, self.step, **ranks)
        self.field.before_step(self.step, draws)
        index = draws.integers(self.rays, self.drawn_from)
        if self.useful is not None:
            index = self.useful[index].long()
        background = self.field.background
        if background is None:
            background = draws.uniform(self.rays, 3)
        out, samples = self.model.render_train_in_float32(self.table.rays(index), draws)
        loss = _loss(out, self.table.rgba(index), background)
        self.fabric.backward(loss)
        self.field.after_step(functools.partial(_total, self.fabric))
        return loss.detach(), samples

    def _step(self, loss: Tensor, samples: int | Tensor) -> None:
        """Update the weights if loss and gradients are finite."""
        value, mean_samples = self._mean(float(loss), float(samples))
        if math.isfinite(value) and math.isfinite(float(self._gradient_size())):
            self.guard.good_step()
            self.optimizer.step()
            self._note(value)
        else:
            self.guard.failed_step()
        self._fit_rays(mean_samples, 0.9, 1.1)

    def _step_without_waiting(self, loss: Tensor, samples: int | Tensor) -> None:
        """Update the weights now, and read loss and gradients some steps later.

        Gradients that are not finite count as 0, so the damage is small.
        """
        size = self._gradient_size()
        gradients = [p.grad for p in self.field.parameters() if p.grad is not None]
        for gradient in gradients:
            gradient.copy_(torch.where(size.isfinite(), gradient, 0.0))
        self.optimizer.step()
        taken = samples if isinstance(samples, Tensor) else loss.new_full((), samples)
        read = self.readings.add([loss, taken, size])
        for value, _, found in read:
            (value,) = self._mean(value)
            good = math.isfinite(value) and math.isfinite(found)
            if good:
                self._note(value)
            if not self.guard.late_steps([good]):
                self.readings = Readings(self.fabric.device)
                break
        if read:  # all with the same number of rays; larger changes than on the CPU, as they are rarer
            (mean_samples,) = self._mean(sum(row[1] for row in read) / len(read))
            self._fit_rays(mean_samples / ROOM, 0.5, 1.25)

    def _gradient_size(self) -> Tensor:
        """Norm of all gradients. It is the same in all processes, so that all decide the same."""
        kept = [lines.values for table in self.field.tables() if (lines := line_gradient(table)) is not None]
        return torch.nn.utils.get_total_norm([*kept, *(p.grad for p in self.field.parameters() if p.grad is not None)])

    def _note(self, loss: float) -> None:
        self.error = loss if math.isnan(self.error) else 0.98 * self.error + 0.02 * loss

    def _set_rate(self) -> None:
        rate = RATE_FLOOR + (1 - RATE_FLOOR) * 0.5 * (1 + math.cos(math.pi * min(self.progress(), 1)))
        rate *= min(1.0, (self.step + 1) / RATE_WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * rate * self.guard.rate_factor

    def _mean(self, *values: float) -> list[float]:
        """Each value averaged over all processes."""
        if self.fabric.world_size == 1:
            return list(values)
        dtype = torch.float32 if self.fabric.device.type == "mps" else torch.float64
        mean: list[float] = self.fabric.all_reduce(torch.tensor(values, dtype=dtype)).tolist()
        return mean

    def _fit_rays(self, samples: float, least: float, most: float) -> None:
        """Take as many rays as fill the batch with samples, within shares of the current number."""
        wanted = self.rays * self.config.samples_per_step / max(samples, 1)
        self.rays = max(
            1, int(min(max(wanted, least * self.rays), most * self.rays + 1, self.config.max_rays_per_step))
        )


def informative_pixels(field: RadianceField, table: PixelTable, fabric: Fabric) -> Int[Tensor, "m"] | None:
    """Indices of the pixels whose rays can teach the field anything, int32 if they fit; None if all can.

    Processes share the work.
    """
    device = table.device
    found = torch.zeros(len(table), dtype=torch.uint8, device=device)
    parts = [slice(start, min(start + AT_ONCE, len(table))) for start in range(0, len(table), AT_ONCE)]
    for part in parts[fabric.global_rank :: fabric.world_size]:
        found[part] = field.hits_occupied(table.rays(torch.arange(part.start, part.stop, device=device)))
    useful = _total(fabric, found).bool()
    count = int(useful.sum())
    if count == len(table):
        return None
    index = torch.empty(count, dtype=torch.int32 if len(table) <= 1 << 31 else torch.int64, device=device)
    filled = 0
    for part in parts:
        places = useful[part].nonzero()[:, 0] + part.start
        index[filled : filled + len(places)] = places
        filled += len(places)
    return index


def _total(fabric: Fabric, values: Tensor) -> Tensor:
    """`values` summed over all processes."""
    if fabric.world_size == 1:
        return values
    total: Tensor = fabric.all_reduce(values, reduce_op="sum")
    return total


def _loss(out: Tensor, truth: Tensor, background: Tensor) -> Tensor:
    """Squared error over the scene's background, or over a random colour per ray.

    Random colours make alpha right and keep empty space empty.
    """
    alpha = truth[:, 3:]
    target = truth[:, :3] * alpha + background * (1 - alpha)
    return torch.nn.functional.mse_loss(out[:, :3] + background * (1 - out[:, 3:]), target)


def fit(trainer: Trainer, checkpoints: CheckpointFolder, stop: Stop) -> None:
    """Train to the end, with checkpoints. Goes on from the last checkpoint.

    Raises Interrupted when asked to stop, after saving; CheckpointError if the checkpoint belongs to another teacher.
    """
    found = checkpoints.latest()
    if found is not None:
        try:
            trainer.restore(*found)
        except (KeyError, ValueError, RuntimeError) as error:
            message = f"the checkpoint in {checkpoints.path} is of another teacher; remove that folder to start over"
            raise CheckpointError(message) from error
    fabric = trainer.fabric
    agree_on_step(fabric, trainer.step, checkpoints.path)
    saved = trainer.seconds
    first = fabric.is_global_zero
    total, unit = trainer.total
    with ProgressLine("teach", total, unit, start=trainer.progress() * total, shown=first) as line:
        while trainer.progress() < 1:
            trainer.advance()
            if trainer.step % trainer.readings.every:
                continue  # the host checks rarely; on the CPU at every step
            trainer.seconds, stopping = sync(fabric, trainer.seconds, stop)
            done = min(trainer.progress(), 1.0) * total
            line.update(done, f"PSNR {trainer.psnr:.1f} dB on training rays", f"step {trainer.step}")
            due = trainer.seconds - saved > trainer.config.checkpoint_seconds
            if stopping or (due and trainer.guard.steady):
                if first:
                    checkpoints.save(trainer.step, trainer.state())
                saved = trainer.seconds
            if stopping:
                raise Interrupted("stopped; the teacher's training is saved, and the same command goes on from here")
