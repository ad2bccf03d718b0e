"""Several processes on this machine that share the rendering."""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from nelf.data import Scene
from nelf.distill.config import DistillConfig
from nelf.distill.plan import make_plan
from nelf.distill.pseudo_scene import Distilled, find_written, finish
from nelf.distill.render import distill, print_warnings
from nelf.errors import Interrupted, NelfError
from nelf.progress import Stop, stoppable
from nelf.teacher.protocol import Teacher

POLL_SECONDS = 0.2


def distill_in_workers(
    load_teacher: Callable[[], Teacher],
    scene: Scene,
    config: DistillConfig,
    folder: Path,
    provenance: dict[str, Any],
    stop: Stop,
) -> Distilled:
    """`distill` by `config.workers` processes; with one worker, by this process.

    load_teacher: picklable (a functools.partial of a module's function, say); called once in each process, and not at
    all when everything is there already.
    """
    plan = make_plan(scene, config, provenance, folder)
    if (written := find_written(plan)) is not None:
        return written
    if config.workers == 1:
        return distill(load_teacher(), scene, config, folder, provenance, stop)
    context = multiprocessing.get_context("spawn")
    running = []
    for rank in range(config.workers):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(sender, load_teacher, scene, config, folder, provenance, rank), daemon=True
        )
        process.start()
        sender.close()
        running.append((process, receiver))
    told = False
    for process, _ in running:
        while process.is_alive():
            process.join(POLL_SECONDS)
            failed = any(p.exitcode not in (None, 0) for p, _ in running)
            if (stop.requested or failed) and not told:
                told = True
                for other, _ in running:
                    other.terminate()  # SIGTERM: ends after the view at hand
    problems = [_reason(receiver) for process, receiver in running if process.exitcode]
    errors = [problem for problem in problems if not isinstance(problem, Interrupted)]
    if errors:
        raise errors[0] or RuntimeError("distill: a worker process died; its own message is above")
    if stop.requested:
        raise Interrupted("distill: stopped; the same command goes on from there")
    done = finish(plan, partly=config.minutes is not None)
    print_warnings(done)
    return done


def _reason(receiver: Connection) -> NelfError | None:
    """The error that a worker ended with; None where it died without a word."""
    try:
        error: NelfError = receiver.recv()
        return error
    except EOFError:
        return None


def _work(
    sender: Connection,
    load_teacher: Callable[[], Teacher],
    scene: Scene,
    config: DistillConfig,
    folder: Path,
    provenance: dict[str, Any],
    rank: int,
) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.workers))
    with stoppable() as stop:
        try:
            distill(load_teacher(), scene, config, folder, provenance, stop, rank, config.workers, quiet=rank > 0)
        except NelfError as error:
            sender.send(error)
            sys.exit(error.exit_code)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
