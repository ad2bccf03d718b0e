"""Prune a trained student down to a budget, in rounds with training between them."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import Tensor

from nelf.core.errors import CheckpointError
from nelf.core.files import read_json, remove, write_json
from nelf.student import Student, StudentConfig, load_student, save_student
from nelf.student.prune import choose, importance, shrink

ROUNDS = 4
ABOUT, STUDENT = "about.json", "student.safetensors"

Losses = Callable[[Student], Iterable[Tensor]]
"""The losses of a student on some batches of pseudo views, each computed when it is asked for."""
Tune = Callable[[Student, Path, int], Student]
"""Trains a student after a round, with the number of the round and a folder; goes on where it was interrupted."""


def prune_in_rounds(
    student: Student,
    cost: Callable[[StudentConfig], float],
    limit: float,
    losses: Losses,
    tune: Tune,
    folder: Path,
    about: object,
    echo: Callable[[str], None],
    rounds: int = ROUNDS,
) -> Student:
    """A student of the same family that costs at most `limit`.

    Every round removes the same share of what it finds. Finished rounds are kept in `folder` and not done again,
    unless `about`, which is everything that they depend on, has changed. Raises ConfigError if the limit is too low.
    """
    if not is_begun(folder, about):
        remove(folder)
        write_json(folder / ABOUT, about)
    first = cost(student.config)
    limit = min(limit, first)
    choose(student, importance(student, losses(student)), cost, limit)  # refuses a limit before any training
    for number in range(1, rounds + 1):
        done = folder / f"round-{number}" / STUDENT
        if done.is_file():
            student = load_student(done)
            continue
        scores = importance(student, losses(student))
        smaller = choose(student, scores, cost, first * (limit / first) ** (number / rounds))
        student = tune(shrink(student, scores, smaller), done.parent, number)
        save_student(done, student)
        echo(f"fit: round {number} of {rounds}: pruned from {first:.4g} to {cost(student.config):.4g}")
    return student.eval()


def is_begun(folder: Path, about: object) -> bool:
    """Whether `folder` has rounds of pruning about the same."""
    try:
        found: object = read_json(folder / ABOUT)
    except (OSError, ValueError):  # none, or damaged
        return False
    return found == json.loads(json.dumps(about))


def check_start(path: Path) -> Student:
    """The student to prune. Raises CheckpointError where a run has none."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist, so there is nothing to prune; train it first: nelf train RUN")
    return load_student(path)
