"""What is wrong with single frames: raised at once, or noted, so that a check can tell all of it."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from nelf.data.capture import Problem
from nelf.errors import SceneError

NAMED = 4  # frames with the same fault that are named

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """frame: the image as the scene's file lists it. text: what is wrong and what to do."""

    frame: str
    text: str

    @property
    def sort(self) -> str:
        """The text without what differs from frame to frame: its name and all numbers."""
        return re.sub(r"[-+]?\d[\d.e+-]*", "#", self.text.replace(self.frame, ""))


class Faults:
    """tolerant: note what is wrong with a frame and go on without it, instead of refusing the scene."""

    def __init__(self, scene: str, *, tolerant: bool = False) -> None:
        self.scene = scene
        self.tolerant = tolerant
        self.found: list[Fault] = []

    @contextmanager
    def of_a_frame(self, name: str) -> Iterator[None]:
        """A SceneError in here is about one frame. name: the image as it is listed."""
        try:
            yield
        except SceneError as error:
            if not self.tolerant:
                raise
            self.found.append(Fault(name, str(error).removeprefix(f"scene '{self.scene}': ")))

    def keep(self, items: Sequence[T], check: Callable[[T], None], name: Callable[[T], str]) -> list[T]:
        """Those that `check` does not raise SceneError for."""
        kept = []
        for item in items:
            with self.of_a_frame(name(item)):
                check(item)
                kept.append(item)
        return kept

    def require_any(self, items: Sequence[object]) -> None:
        """Refuse the scene when none is left of what it lists, for the first reason that was noted."""
        if self.found and not items:
            raise SceneError(
                f"scene '{self.scene}': none of its frames can be used; the first reason: {self.found[0].text}"
            )

    def problems(self) -> list[Problem]:
        """What was noted; one problem where many frames have the same fault."""
        return told_once(self.found)


def told_once(faults: Sequence[Fault]) -> list[Problem]:
    """One fatal problem for each sort of fault: the first one's text, and which frames have it too."""
    sorts: dict[str, list[Fault]] = {}
    for fault in faults:
        sorts.setdefault(fault.sort, []).append(fault)
    problems = []
    for first, *others in sorts.values():
        what, _, remedy = first.text.partition("; ")
        if others:
            named = ", ".join(fault.frame for fault in others[:NAMED]) + (", ..." if len(others) > NAMED else "")
            what += f"; {len(others)} more {'has' if len(others) == 1 else 'have'} this fault ({named})"
        problems.append(Problem(what, remedy, fatal=True))
    return problems
