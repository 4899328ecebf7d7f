"""From samples of power to energy, and the meter that takes such samples in the background."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Event, Thread

import numpy as np

from lightfer.measure.energy.protocol import Mark, MeterError, now
from lightfer.results import Component, Method

POLL_S = 0.05


def integrate(
    times_s: Sequence[float],
    watts: Sequence[float],
    start_s: float,
    end_s: float,
    *,
    longest_gap_s: float,
    source: str,
) -> float:
    """Joules between two moments by the trapezoid rule, the power at the edges interpolated.

    The samples must reach the edges, or miss them by less than `longest_gap_s`, in which case the
    nearest sample stands for what is missing. Raises MeterError otherwise, and for a longer gap
    between two samples. Another thread may append samples meanwhile, the power first.
    """
    if not times_s or times_s[0] - start_s > longest_gap_s or end_s - times_s[-1] > longest_gap_s:
        covered = f"{times_s[-1] - times_s[0]:.1f} s" if times_s else "nothing"
        off = f", from {times_s[0] - start_s:+.1f} s of the window's start" if times_s else ""
        raise MeterError(
            f"{source}: its samples cover {covered}{off}, not the window of {end_s - start_s:.1f} s"
        )
    first, last = bisect_right(times_s, start_s), bisect_left(times_s, end_s)
    inner, reach = slice(first, last), slice(max(first - 1, 0), min(last + 1, len(times_s)))
    around = times_s[reach]
    at_edges = np.interp([start_s, end_s], around, watts[reach]).tolist()
    t = [start_s, *times_s[inner], end_s]
    w = [at_edges[0], *watts[inner], at_edges[1]]
    gap = max((b - a for a, b in pairwise(around)), default=0.0)
    if gap > longest_gap_s:
        raise MeterError(f"{source}: no sample for {gap:.1f} s inside the window")
    return sum((b - a) * (x + y) / 2 for a, b, x, y in zip(t, t[1:], w, w[1:], strict=False))


class PolledMeter:
    """A component's energy from its power, read every `period_s` and integrated.

    A reading that fails is a gap between samples: short ones are bridged, a long one costs its
    window, and the next reading may succeed again.

    `thread=False` reads nothing by itself: whoever made it calls `sample`.
    """

    deferred = False

    def __init__(
        self,
        component: Component,
        source: str,
        read_w: Callable[[], float],
        *,
        period_s: float = POLL_S,
        thread: bool = True,
        simulated: bool = False,
        clock: Callable[[], float] = now,
    ) -> None:
        self.component: Component = component
        self.source, self.period_s = source, period_s
        self.method: Method = "polled"
        self.simulated, self.clock = simulated, clock
        self._read_w = read_w
        self._times_s: list[float] = []
        self._watts: list[float] = []
        self._failure = 0.0, ""  # the last one: when, and why
        self._stop = Event()
        self._thread = Thread(target=self._poll, daemon=True) if thread else None
        if self._thread:
            self._thread.start()

    def sample(self) -> None:
        """Read the power now and keep it. Raises MeterError if it cannot be read."""
        watts = self._read_w()
        self._watts.append(watts)
        self._times_s.append(self.clock())

    def mark(self) -> Mark:
        return Mark(self.clock())

    def joules(self, start: Mark, end: Mark) -> float:
        failed_s, why = self._failure
        try:
            return integrate(
                self._times_s,
                self._watts,
                start.time_s,
                end.time_s,
                longest_gap_s=max(10 * self.period_s, 0.5),
                source=self.source,
            )
        except MeterError as error:
            if not why or failed_s < start.time_s:
                raise
            raise MeterError(f"{error}: {why}") from error

    def forget(self, before: Mark) -> None:
        """Drop the samples that no window from this mark on needs."""
        needless = max(bisect_right(self._times_s, before.time_s) - 1, 0)
        del self._watts[:needless], self._times_s[:needless]

    def close(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=1)

    def _poll(self) -> None:
        while not self._stop.wait(self.period_s):
            try:
                self.sample()
            except MeterError as error:
                self._failure = self.clock(), str(error)
