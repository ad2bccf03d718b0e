"""What training does about steps that give no finite loss or gradient: skip them, and after several go back."""

from collections.abc import Callable, Iterable
from typing import Any

from nelf.errors import NelfError

BAD_STEPS = 10  # in a row that may fail before going back
SNAPSHOT_EVERY = 200  # good steps between the states to which it goes back
SMALLEST_RATE = 2.0**-10  # after as many halvings the configuration itself is at fault


class Guard:
    """Counts bad steps, keeps the last good state, and lowers the learning rate.

    rate_factor: for the caller to multiply its learning rate by. Processes that train together see the same losses and
    gradients, so that all decide the same.
    """

    def __init__(
        self, copy: Callable[[], Any], restore: Callable[[Any], None], say: Callable[[str], None], advice: str
    ) -> None:
        """copy: the present state, apart from what training changes; restore: its inverse; advice: ends the message
        with which training gives up."""
        self._copy, self._restore, self._say, self._advice = copy, restore, say, advice
        self.rate_factor = 1.0
        self.begin_from_here()

    def begin_from_here(self, rate_factor: float = 1.0) -> None:
        """The present state is a good one, and nothing is known of steps before it."""
        self.rate_factor = rate_factor
        self._bad = self._since = 0
        self._snapshot = self._copy()

    @property
    def steady(self) -> bool:
        """Whether the last step was good: what is saved within a bad spell would be gone on from as if it were."""
        return self._bad == 0

    def good(self) -> None:
        """To be called before a step changes anything: the loss has shown that the present state is good."""
        self._bad = 0
        self._since += 1
        if self._since >= SNAPSHOT_EVERY:
            self._since, self._snapshot = 0, self._copy()

    def hear(self, steps: Iterable[bool], spoilt: Callable[[], bool] = lambda: False) -> bool:
        """Of steps that are known only now, oldest first, whether each was good; spoilt: see `bad`.

        False where training went back: what is not known yet is of a state that is gone.
        """
        for good in steps:
            if good:
                self.good()
                continue
            factor = self.rate_factor
            self.bad(spoilt())
            if self.rate_factor != factor:
                return False
        return True

    def bad(self, spoilt: bool = False) -> None:
        """In place of a step without a finite loss or gradient. spoilt: the state itself is; waiting does not help.

        Raises NelfError when no learning rate has helped.
        """
        self._bad += 1
        if self._bad < BAD_STEPS and not spoilt:
            return
        self.rate_factor /= 2
        if self.rate_factor < SMALLEST_RATE:
            raise NelfError(
                f"training diverges: no finite gradient at any learning rate down to {SMALLEST_RATE:.1e} of what was "
                f"asked for; {self._advice}"
            )
        self._restore(self._snapshot)
        bad, self._bad = self._bad, 0
        self._say(
            f"no finite gradient in the last {bad} steps: back to the last good weights, "
            f"learning rate x {self.rate_factor:g}"
        )
