"""What is wrong with single frames: raised at once, or noted, so that a check can tell all of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from nelf.data.capture import Problem
from nelf.errors import SceneError

SHOWN = 20  # faults that are told; more of them repeat themselves

T = TypeVar("T")


class Faults:
    """tolerant: note what is wrong with a frame and go on without it, instead of refusing the scene."""

    def __init__(self, scene: str, *, tolerant: bool = False) -> None:
        self.scene = scene
        self.tolerant = tolerant
        self.found: list[str] = []

    @contextmanager
    def of_a_frame(self) -> Iterator[None]:
        """A SceneError in here is about one frame."""
        try:
            yield
        except SceneError as error:
            if not self.tolerant:
                raise
            self.found.append(str(error).removeprefix(f"scene '{self.scene}': "))

    def keep(self, items: Sequence[T], check: Callable[[T], None]) -> list[T]:
        """Those that `check` does not raise SceneError for."""
        kept = []
        for item in items:
            with self.of_a_frame():
                check(item)
                kept.append(item)
        return kept

    def require_any(self, items: Sequence[object]) -> None:
        """Refuse the scene when none is left of what it lists, for the first reason that was noted."""
        if self.found and not items:
            raise SceneError(f"scene '{self.scene}': none of its frames can be used; the first reason: {self.found[0]}")

    def problems(self) -> list[Problem]:
        """What was noted."""
        told = [Problem(fault, "", fatal=True) for fault in self.found[:SHOWN]]
        if len(self.found) > SHOWN:
            more = f"{len(self.found) - SHOWN} more frames have such faults"
            told.append(Problem(more, "mend the first ones and check again", fatal=True))
        return told
