"""The wall time that rendering may take, over interruptions."""

import time
from types import TracebackType

from nelf.distill.plan import Plan
from nelf.progress import seconds_of
from nelf.storage import read_json, write_json

WRITE_EVERY = 5.0  # seconds: so much, and the view at hand, is not counted when a process is killed


class Budget:
    """Time spent by one process on its share, kept in a small file so that going on later does not start anew."""

    def __init__(self, plan: Plan, rank: int, least: int) -> None:
        """least: views of this share that are rendered whatever they take."""
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
        if self.plan.config.minutes is not None and (kind is None or issubclass(kind, Exception)):
            self._write()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def spent(self, views: int) -> bool:
        """Whether to stop, with `views` of the share there. To be asked before each view."""
        minutes = self.plan.config.minutes
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
