"""The training pixels as one table: colour, alpha and the ray through each."""

import copy
import math
import time
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from nelf.core.cameras import Rays, pixel_grid, rays_through
from nelf.core.checkpoints import CheckpointFolder
from nelf.core.devices import FUSED, agree, agree_on_step, fits, unscaled
from nelf.core.errors import CheckpointError, Interrupted, SceneError
from nelf.core.images import psnr_of
from nelf.core.optimization import DivergenceRecovery, Readings
from nelf.core.progress import ProgressLine, Stop
from nelf.kernels.random_numbers import draws_on
from nelf.scene import Views
from nelf.teacher.config import TeacherConfig
from nelf.teacher.field import RadianceField


class PixelTable:
    """All pixels of some views, held as uint8 on `device`, or on the CPU where they do not fit there.

    Rays are made on `device` when drawn.
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
        """Straight colour and alpha (1 where the images have none) of the pixels `index`."""
        color = self.colors[index.to(self.colors.device)].to(self.device).float() / 255
        return color if color.shape[1] == 4 else torch.cat([color, color.new_ones(len(color), 1)], dim=1)


RATE_FLOOR = 0.01  # the learning rate at the end, as a share of that at the start
RATE_WARM_UP = 50  # steps
ROOM = 0.9  # of the batch that an accelerator fills: what a step has too many samples is left out
AT_ONCE = 1 << 18  # pixels that are asked at once whether they are useful


class Trainer:
    """State of a teacher's training: everything that a checkpoint must hold."""

    def __init__(self, field: RadianceField, views: Views, config: TeacherConfig, fabric: Fabric) -> None:
        self.config = config
        self.fabric = fabric
        field.to(fabric.device)
        self.table = PixelTable(views, fabric.device)
        field.look_at_views(views)
        self.useful = useful_pixels(field, self.table, fabric)
        self.drawn_from = len(self.table) if self.useful is None else len(self.useful)
        if self.drawn_from == 0:
            raise SceneError(
                "no training pixel sees anything of the scene's bounds, so there is nothing to learn; "
                "look at alpha, poses, near and far with `nelf data check`"
            )
        optimizer = torch.optim.Adam(
            field.parameter_groups(),
            lr=config.lr,
            betas=(0.9, 0.99),
            eps=1e-15,
            fused=fabric.device.type in FUSED,
        )
        self.field = field
        self.model, self.optimizer = fabric.setup(field, optimizer)
        self.model.mark_forward_method("accumulate_in_float32")
        self.step = 0
        self.seconds = 0.0
        self.rays = min(config.max_rays, max(256, config.batch // 16))
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
        """Go on from `state`. Raises KeyError, ValueError or RuntimeError for that of another teacher."""
        self._load([state["field"], state["optimizer"]])
        self.step, self.seconds = step, state["seconds"]
        self.rays, self.error = state["rays"], state["error"]
        self.guard.begin_from_here(state["rate_factor"])

    def _load(self, state: list[dict[str, Any]]) -> None:
        self.field.load_state_dict(state[0])
        self.optimizer.load_state_dict(copy.deepcopy(state[1]))  # it keeps the tensors that it is given

    def progress(self) -> float:
        """Share of the training that is done: the larger of time and steps."""
        shares = []
        if self.config.minutes is not None:
            shares.append(self.seconds / (60 * self.config.minutes))
        if self.config.iterations is not None:
            shares.append(self.step / self.config.iterations)
        return max(shares)

    @property
    def total(self) -> tuple[float, str]:
        """Size and unit of the training, to show to the user."""
        if self.config.minutes is not None:
            return self.config.minutes, "min"
        return float(self.config.iterations or 0), "steps"

    @property
    def psnr(self) -> float:
        """In dB, of the rays of the last steps; NaN before the first."""
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
        """Leave the gradients of one batch; its loss, and the number of samples that it took."""
        device = self.fabric.device
        # Seeded anew for every step: nothing to remember for an exact resume.
        ranks = {"rank": self.fabric.global_rank, "ranks": self.fabric.world_size}
        draws = draws_on(device, self.config.seed, self.step, **ranks)
        self.field.refresh(self.step, draws)
        index = draws.integers(self.rays, self.drawn_from)
        if self.useful is not None:
            index = self.useful[index].long()
        background = self.field.background
        if background is None:
            background = draws.uniform(self.rays, 3)
        out, samples = self.model.accumulate_in_float32(self.table.rays(index), draws)
        loss = _loss(out, self.table.rgba(index), background)
        self.fabric.backward(loss)
        return loss.detach(), samples

    def _step(self, loss: Tensor, samples: int | Tensor) -> None:
        """Change the weights if that does no harm."""
        value, mean_samples = self._mean(float(loss), float(samples))
        if math.isfinite(value) and math.isfinite(float(self._gradient_size())):
            self.guard.good()
            self.optimizer.step()
            self._note(value)
        else:
            self.guard.bad()
        self._fit_rays(mean_samples, 0.9, 1.1)

    def _step_without_waiting(self, loss: Tensor, samples: int | Tensor) -> None:
        """Change the weights now; what the host wants to know of it, it reads some steps later.

        Gradients that are not finite count as 0: nothing that a later step could not make good.
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
            if not self.guard.hear([good]):
                self.readings = Readings(self.fabric.device)
                break
        if read:  # all with as many rays; more at once than a step changes on the CPU, as there are fewer chances
            (mean_samples,) = self._mean(sum(row[1] for row in read) / len(read))
            self._fit_rays(mean_samples / ROOM, 0.5, 1.25)

    def _gradient_size(self) -> Tensor:
        """Norm of all gradients, the same in all processes, so that all decide the same."""
        return torch.nn.utils.get_total_norm([p.grad for p in self.field.parameters() if p.grad is not None])

    def _note(self, loss: float) -> None:
        self.error = loss if math.isnan(self.error) else 0.98 * self.error + 0.02 * loss

    def _set_rate(self) -> None:
        rate = RATE_FLOOR + (1 - RATE_FLOOR) * 0.5 * (1 + math.cos(math.pi * min(self.progress(), 1)))
        rate *= min(1.0, (self.step + 1) / RATE_WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * rate * self.guard.rate_factor

    def _mean(self, *values: float) -> list[float]:
        """Of each value over all processes."""
        if self.fabric.world_size == 1:
            return list(values)
        dtype = torch.float32 if self.fabric.device.type == "mps" else torch.float64
        mean: list[float] = self.fabric.all_reduce(torch.tensor(values, dtype=dtype)).tolist()
        return mean

    def _fit_rays(self, samples: float, least: float, most: float) -> None:
        """Take as many rays as fill the batch with samples, within shares of what they are now."""
        wanted = self.rays * self.config.batch / max(samples, 1)
        self.rays = max(1, int(min(max(wanted, least * self.rays), most * self.rays + 1, self.config.max_rays)))


def useful_pixels(field: RadianceField, table: PixelTable, fabric: Fabric) -> Int[Tensor, "m"] | None:
    """Indices of the pixels whose rays can teach the field anything, int32 where that holds them; None when all can.

    Processes share the work.
    """
    device = table.device
    found = torch.zeros(len(table), dtype=torch.uint8, device=device)
    parts = [slice(start, min(start + AT_ONCE, len(table))) for start in range(0, len(table), AT_ONCE)]
    for part in parts[fabric.global_rank :: fabric.world_size]:
        found[part] = field.meets_something(table.rays(torch.arange(part.start, part.stop, device=device)))
    useful = (fabric.all_reduce(found, reduce_op="sum") if fabric.world_size > 1 else found).bool()
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


def _loss(out: Tensor, truth: Tensor, background: Tensor) -> Tensor:
    """Squared error over the scene's background, or a random one a ray.

    The latter makes alpha right and keeps empty space empty.
    """
    alpha = truth[:, 3:]
    target = truth[:, :3] * alpha + background * (1 - alpha)
    return torch.nn.functional.mse_loss(out[:, :3] + background * (1 - out[:, 4:]), target)


def fit(trainer: Trainer, checkpoints: CheckpointFolder, stop: Stop) -> None:
    """Train to the end, saving checkpoints and going on from the last one that is there.

    Raises Interrupted when asked to stop, after saving; CheckpointError when the checkpoint is of another teacher.
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
                continue  # the host does not look up; on the CPU it does at every step
            trainer.seconds, stopping = agree(fabric, trainer.seconds, stop)
            done = min(trainer.progress(), 1.0) * total
            line.update(done, f"PSNR {trainer.psnr:.1f} dB on training rays", f"step {trainer.step}")
            due = trainer.seconds - saved > trainer.config.checkpoint_seconds
            if stopping or (due and trainer.guard.steady):
                if first:
                    checkpoints.save(trainer.step, trainer.state())
                saved = trainer.seconds
            if stopping:
                raise Interrupted("stopped; the teacher's training is saved, and the same command goes on from here")
