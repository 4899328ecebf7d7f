"""What a meter is: something that can be marked, and says the joules between two marks."""

from dataclasses import dataclass
from time import perf_counter, time
from typing import Protocol

from lightfer.errors import LightferError
from lightfer.results import Component, Method

_ORIGIN_S = time() - perf_counter()


def now() -> float:
    """Seconds since 1970 by this machine's clock as it stood when the process began.

    It never jumps, where the wall clock may be set while a window is open.
    """
    return _ORIGIN_S + perf_counter()


class MeterError(LightferError):
    """A meter cannot be read; the message says which and why, and what to do if anything."""


@dataclass(frozen=True)
class Mark:
    """A moment, and what the meter's counters stood at if it has any, in joules."""

    time_s: float
    counts_j: tuple[float, ...] = ()


class Meter(Protocol):
    """One source of energy figures of one component.

    `deferred` meters, those that read a file written by somebody else, know the energy between two
    marks only later; their marks are times alone, so that they may be asked after the run.
    """

    component: Component
    method: Method
    source: str
    deferred: bool
    simulated: bool

    def mark(self) -> Mark:
        """This moment. Raises MeterError if the meter cannot be read."""
        ...

    def joules(self, start: Mark, end: Mark) -> float:
        """Energy between two marks. Raises MeterError if it is not known."""
        ...

    def close(self) -> None:
        """Stop whatever runs in the background."""
        ...
