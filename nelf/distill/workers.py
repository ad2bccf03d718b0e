"""Several processes on this machine share the rendering."""

import ctypes
import dataclasses
import math
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from nelf.core.errors import Interrupted, NelfError, StorageError
from nelf.core.files import system_error
from nelf.core.processes import available_memory, end_with_parent, usable_cores
from nelf.core.progress import Stop, stoppable
from nelf.distill.config import DistillConfig
from nelf.distill.dataset import PseudoDataset, RenderPlan, find_written, finish, make_plan
from nelf.distill.render import DiskSpace, RenderProgress, print_warnings, render_share, share_of
from nelf.scene import Scene
from nelf.teacher.field import Teacher

POLL_SECONDS = 0.2
WORKER_BYTES = 2_000_000_000  # measured: 1.75 GB while rendering 800x800


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that distill into one folder, each with its own workers.

    any_rank: waits for all of them; returns whether one was asked to stop.
    """

    rank: int = 0
    ranks: int = 1
    any_rank: Callable[[bool], bool] = bool


def distill_in_workers(
    load_teacher: Callable[[], Teacher],
    scene: Scene,
    config: DistillConfig,
    folder: Path,
    provenance: dict[str, Any],
    stop: Stop,
    ranks: ProcessGroup = ProcessGroup(),
) -> PseudoDataset:
    """Render `config.views` pseudo views to `folder`/images, then write transforms.json.

    `config.workers` processes render; with one worker, this process. nelf starts no more workers than this machine has
    cores or memory for, or than there are views.

    provenance: what identifies this teacher, as JSON values without times. Images of the same provenance, poses and
    size are kept; others are rendered again.

    load_teacher: picklable (a functools.partial of a module's function, for example); called once in each process, but
    not if all views exist. ranks: several processes may call this with otherwise equal arguments; the first of them
    writes transforms.json when all are done. Raises what `distill` raises.
    """
    config = dataclasses.replace(config, workers=affordable_workers(config, ranks))
    plan = make_plan(scene, config, provenance, folder)
    first = ranks.rank == 0
    written = find_written(plan) if first else None
    if ranks.any_rank(written is not None):
        return written or find_written(plan) or _unlike(plan)
    stopped = False
    try:
        if config.workers == 1:
            render_share(load_teacher(), plan, stop, ranks.rank, ranks.ranks, quiet=not first)
        else:
            _in_workers(load_teacher, plan, stop, ranks)
    except Interrupted:
        if ranks.ranks == 1:
            raise
        stopped = True
    if ranks.any_rank(stopped):
        raise Interrupted("distill: stopped; the same command goes on from there")
    if first:
        written = finish(plan, partly=config.max_minutes is not None)
        print_warnings(written)
    ranks.any_rank(False)
    return written or find_written(plan) or _unlike(plan)


def affordable_workers(config: DistillConfig, ranks: ProcessGroup) -> int:
    """How many of the requested workers this machine can use. Prints a note if it is not all."""
    most, reason = most_workers(config, ranks.ranks)
    if config.workers > most and ranks.rank == 0:
        print(f"distill: starting {most} of {config.workers} workers: {reason}", file=sys.stderr)
    return min(config.workers, most)


def most_workers(config: DistillConfig, ranks: int) -> tuple[int, str]:
    """How many workers each of `ranks` processes can use on this machine, and what limits them."""
    memory = available_memory()
    most = {
        f"this machine has {usable_cores()} cores": usable_cores(),
        f"there are {config.views} views to render": math.ceil(config.views / ranks),
    }
    if memory is not None:
        most[f"{memory / 1e9:.1f} GB of memory are free, and each may need {WORKER_BYTES / 1e9:g}"] = max(
            1, int(memory / WORKER_BYTES)
        )
    reason = min(most, key=lambda one: most[one])
    return most[reason], reason


def _unlike(plan: RenderPlan) -> PseudoDataset:
    raise StorageError(f"{plan.folder} is not the same folder for all processes; use one that they share")


def _in_workers(load_teacher: Callable[[], Teacher], plan: RenderPlan, stop: Stop, ranks: ProcessGroup) -> None:
    """Render the images of this process in its workers. Raises what a worker raised."""
    workers = plan.config.workers
    context = multiprocessing.get_context("spawn")
    share, todo = share_of(plan, ranks.rank, ranks.ranks)
    there = len(share) - len(todo)
    if todo and ranks.rank == 0:
        print(DiskSpace(plan, len(todo) * ranks.ranks).announcement(there), file=sys.stderr)
    rendered = context.RawArray(ctypes.c_longlong, workers)  # without a lock: a worker may be killed at any time
    running = []
    for worker in range(workers):
        receiver, sender = context.Pipe(duplex=False)
        # Every n-th view belongs to this process, however many workers the others have.
        rank, world = ranks.rank + ranks.ranks * worker, ranks.ranks * workers
        arguments = sender, load_teacher, plan_of(plan), rank, world, rendered, worker
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        sender.close()
        running.append((process, receiver))
    told = False
    shown = bool(todo) and ranks.rank == 0
    with RenderProgress(plan, len(share), there, ranks.rank, ranks.ranks, shown=shown) as line:
        for process, _ in running:
            while process.is_alive():
                process.join(POLL_SECONDS)
                line.update(sum(rendered))
                failed = any(p.exitcode not in (None, 0) for p, _ in running)
                if (stop.requested or failed) and not told:
                    told = True
                    for other, _ in running:
                        other.terminate()  # SIGTERM: ends after the current view
    # A worker that was stopped before it could listen ended without an error of its own.
    problems = [
        _problem(receiver, process.exitcode)
        for process, receiver in running
        if process.exitcode and not (told and process.exitcode == -signal.SIGTERM)
    ]
    errors = [problem for problem in problems if not isinstance(problem, Interrupted)]
    if errors:
        raise errors[0]
    if stop.requested:
        raise Interrupted("distill: stopped; the same command goes on from there")


def _problem(receiver: Connection, status: int) -> Exception:
    """A worker's own error, or what its exit status says if it died without one."""
    try:
        error: NelfError = receiver.recv()
        return error
    except EOFError:
        pass
    if status == -signal.SIGKILL:
        return NelfError(
            "distill: a worker process was killed, most likely by the system because memory ran out; lower "
            "distill.workers or free some memory: finished views are kept, and the same command goes on from there"
        )
    if status < 0:
        return NelfError(
            f"distill: a worker process died of {signal.Signals(-status).name}; finished views are kept, and "
            "the same command goes on from there"
        )
    return RuntimeError("distill: a worker process died; its own message is above")


Inputs = tuple[Scene, DistillConfig, Path, dict[str, Any]]


def plan_of(plan: RenderPlan) -> Inputs:
    """The inputs of a plan. The plan itself holds functions, which cannot be sent to other processes."""
    return plan.scene, plan.config, plan.folder, plan.provenance


def _work(
    sender: Connection,
    load_teacher: Callable[[], Teacher],
    inputs: Inputs,
    rank: int,
    world: int,
    rendered: "ctypes.Array[ctypes.c_longlong]",
    worker: int,
) -> None:
    """Run a worker process.

    rendered: the number of views that each worker has rendered. worker: index of this one.
    """
    end_with_parent()
    scene, config, folder, provenance = inputs
    torch.set_num_threads(max(1, usable_cores() // config.workers))

    def count() -> None:
        rendered[worker] += 1

    with stoppable() as stop:
        try:
            plan = make_plan(scene, config, provenance, folder)
            render_share(load_teacher(), plan, stop, rank, world, quiet=True, rendered=count)
        except NelfError as error:
            sender.send(error)
            sys.exit(error.exit_code)
        except Exception as error:
            if (told := system_error(error)) is not None:
                sender.send(told)
                sys.exit(told.exit_code)
            traceback.print_exc()
            sys.exit(1)
