"""Render a share of the pseudo views within a time budget."""

import math
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nelf.core.errors import Interrupted, StorageError
from nelf.core.files import read_json, sha256, write_json
from nelf.core.progress import ProgressLine, Stop, seconds_of
from nelf.distill.dataset import PseudoDataset, RenderPlan
from nelf.distill.views import Arriving, Confirmation, View, check_finite, figures, read_note, stored, write_view
from nelf.scene.write import write_png
from nelf.teacher.field import Teacher, device_of, render_where_it_is

WRITE_EVERY = 5.0  # seconds; a killed process loses at most this much of its count, plus the current view


class Budget:
    """Time that one process spent on its share. It is kept in a small file, so that a later run goes on counting."""

    def __init__(self, plan: RenderPlan, rank: int, least: int) -> None:
        """least: views of this share to render however long they take."""
        self.plan = plan
        self.least = least
        self.path = plan.folder / f"progress-{rank}.json"
        self.before = self._read()
        self.began = self.written = time.monotonic()

    def __enter__(self) -> "Budget":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.plan.config.max_minutes is not None and (kind is None or issubclass(kind, Exception)):
            self._write()

    @property
    def seconds(self) -> float:
        """Seconds spent so far, those of earlier runs included."""
        return self.before + time.monotonic() - self.began

    def spent(self, views: int) -> bool:
        """Whether to stop after `views` of the share. Ask before each view."""
        minutes = self.plan.config.max_minutes
        if minutes is not None and time.monotonic() - self.written >= WRITE_EVERY:
            self._write()
        return minutes is not None and views >= self.least and self.seconds > 60 * minutes

    def _write(self) -> None:
        self.written = time.monotonic()
        write_json(self.path, {"fingerprint": self.plan.fingerprint, "seconds": round(self.seconds, 3)})

    def _read(self) -> float:
        try:
            content = read_json(self.path)
            return seconds_of(content["seconds"]) if content["fingerprint"] == self.plan.fingerprint else 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0


ESTIMATE_SLACK = 1.2  # images differ in how well they compress


def print_warnings(done: PseudoDataset) -> None:
    """Print problems of the views. Of several processes, only one that knows all views should."""
    for warning in done.warnings:
        print(f"distill: warning: {warning}", file=sys.stderr)


def render_share(
    teacher: Teacher,
    plan: RenderPlan,
    stop: Stop,
    rank: int,
    world: int,
    quiet: bool,
    rendered: Callable[[], None] = lambda: None,
) -> None:
    """Render the images of one process: those of views rank, rank + world, ... of `plan` that are missing.

    quiet: print nothing. rendered: called after each view.

    Raises Interrupted when `stop` is requested; StorageError when the disk cannot hold the views.
    """
    assert 0 <= rank < world
    config = plan.config
    share, todo = share_of(plan, rank, world)
    there = len(share) - len(todo)
    budget = Budget(plan, rank, math.ceil(config.min_views / world))
    if not todo or budget.spent(there):
        return
    space = DiskSpace(plan, len(todo) * world)
    if not quiet:
        print(space.announcement(there), file=sys.stderr)
    confirmation = Confirmation(teacher, plan.scene.train) if config.min_confirmed > 0 else None
    threads = 0 if device_of(teacher).type == "cpu" else os.cpu_count() or 1
    with (
        budget,
        Writers(threads) as writers,
        RenderProgress(plan, len(share), there, rank, world, shown=not quiet) as line,
    ):
        for number, index in enumerate(todo):
            if stop.requested:
                raise Interrupted(
                    f"distill: stopped with {there + number} of {len(share)} views; the same command goes on from there"
                )
            if budget.spent(there + number):
                return
            chosen = choose(plan, index, confirmation)
            view = render_view(teacher, plan, index, chosen)
            written = writers.submit(write, plan, index, chosen, view.begin_copy())
            if number == 0:
                space.check(written.result())
            rendered()
            line.update(number + 1)


def share_of(plan: RenderPlan, rank: int, world: int) -> tuple[range, list[int]]:
    """The views of one process, and those that still need rendering."""
    share = range(rank, plan.config.views, world)
    return share, [i for i in share if read_note(plan.path(i), plan.fingerprint) is None]


class RenderProgress(ProgressLine):
    """Progress line for what one process and its workers render."""

    def __init__(self, plan: RenderPlan, share: int, there: int, rank: int, world: int, *, shown: bool) -> None:
        """share: their number of views. there: views that exist already."""
        minutes = plan.config.max_minutes
        super().__init__(
            "distill" if world == 1 else f"distill {rank + 1}/{world}",
            share,
            "views",
            start=there,
            seconds=None if minutes is None else 60 * minutes,
            shown=shown,
        )

    def update(self, done: int | float, figure: str = "", detail: str = "") -> None:
        """done: views rendered since the start."""
        speed = done / max(time.monotonic() - self.began, 1e-9)
        super().update(self.start + done, figure or f"{speed:.3g} views/s", detail)


CANDIDATES = 8  # poses tried for one view


@dataclass(frozen=True)
class Candidate:
    """A pose for a pseudo view. confirmed: share of its pixels that `Confirmation` confirms; 1 if nobody asked."""

    c2w: Float[Tensor, "3 4"]
    confirmed: float = 1.0


def choose(plan: RenderPlan, index: int, confirmation: Confirmation | None) -> Candidate:
    """The pose of pseudo view `index`: the first candidate of which enough is confirmed, else the best one."""
    if confirmation is None:
        return Candidate(plan.pose(index, 0))
    best: Candidate | None = None
    for number in range(CANDIDATES):
        c2w = plan.pose(index, number)
        candidate = Candidate(c2w, round(confirmation.share(c2w, plan.intrinsics(index)), 6))
        if candidate.confirmed >= plan.config.min_confirmed:
            return candidate
        if best is None or candidate.confirmed > best.confirmed:
            best = candidate
    assert best is not None
    return best


def render_view(teacher: Teacher, plan: RenderPlan, index: int, chosen: Candidate) -> View:
    """Pseudo view `index` from the pose `chosen`, on the teacher's device."""
    rendered = render_where_it_is(teacher, chosen.c2w, plan.intrinsics(index), plan.height, plan.width)
    return stored(rendered, plan.scene.channels, plan.scene.far, plan.depth_scale)


def write(plan: RenderPlan, index: int, chosen: Candidate, arriving: Arriving) -> int:
    """Write pseudo view `index`; return its bytes on disk."""
    view = arriving.get()
    check_finite(view, f"{index:06d}")
    path, depth_path = plan.path(index), plan.depth_path(index)
    about = figures(view.sums[1:].tolist(), plan.height * plan.width)
    about["confirmed"] = chosen.confirmed
    pose = chosen.c2w.flatten().tolist()
    note: dict[str, Any] = {"fingerprint": plan.fingerprint, "pose": pose, "figures": about}
    size = 0
    if depth_path is not None:
        write_png(depth_path, view.depth.numpy().view(np.uint16))
        note["depth"] = sha256(depth_path)
        size = depth_path.stat().st_size
    # The image comes last: its note marks the view as complete.
    write_view(path, view.pixels.numpy(), note)
    return size + path.stat().st_size


class Writers:
    """Threads that write views while an accelerator renders the next ones. Without threads, views are written at once.

    At most two views per thread are kept in memory. The next call, or the end, raises a thread's error.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="views") if threads else None
        self._limit = 2 * threads
        self._waiting: deque[Future[int]] = deque()

    def submit(self, function: Callable[..., int], *arguments: Any) -> Future[int]:
        """Call `function` in a thread. Waits if too many views are in memory."""
        if self._threads is None:
            done = Future[int]()
            done.set_result(function(*arguments))
            return done
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self._limit):
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(function, *arguments))
        return self._waiting[-1]

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._threads is None:
            return
        self._threads.shutdown(wait=True)  # keep what was rendered, even after an error
        if kind is None:
            for waiting in self._waiting:
                waiting.result()


class DiskSpace:
    """Checks whether the disk holds the remaining views."""

    def __init__(self, plan: RenderPlan, missing: int) -> None:
        """missing: approximate number of views that all processes together must still write."""
        self.plan = plan
        self.missing = min(missing, plan.config.views)
        existing = plan.folder
        while not existing.exists():
            existing = existing.parent
        self.free = shutil.disk_usage(existing).free

    def announcement(self, there: int) -> str:
        """What will happen and how much disk it may take; `there` views exist already."""
        plan, channels = self.plan, "RGBA" if self.plan.scene.channels == 4 else "RGB"
        kept = f", {there} exist already" if there else ""
        return (
            f"distill: {plan.config.views} views of {plan.width}x{plan.height} {channels} to {plan.folder}{kept}; "
            f"needs at most {megabytes(self.missing * plan.raw_bytes)}, {megabytes(self.free)} free"
        )

    def check(self, size: int) -> None:
        """Raise StorageError if views like the first one, of `size` bytes, do not fit."""
        need = int((self.missing - 1) * min(size * ESTIMATE_SLACK, self.plan.raw_bytes))
        if need > self.free:
            raise StorageError(
                f"distill: {self.plan.config.views} views need about {megabytes(need)} more in {self.plan.folder}, "
                f"but {megabytes(self.free)} are free; free some space, or lower distill.views"
            )


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
