"""Energy counters: differences of running totals that tick, and may wrap around."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from statistics import median
from time import sleep

from lightfer.measure.energy.protocol import Mark, MeterError, now
from lightfer.results import Component, Method

HIGHEST_W = 1000.0  # no single counter here stands for more; decides if a wrap is ambiguous
TICKS = 8  # that are watched to know the period
PATIENCE_S = 3.0  # without any change of a counter that should tick several times a second


@dataclass(eq=False)
class CounterMeter:
    """A component's energy as the sum of one or more running totals.

    `read()` gives the totals in joules; `wraps_j` is what each starts again after, None where it
    never does or that is not known. A total that goes backwards without a known wrap or began anew,
    one that may have wrapped more than once, and one that stands still for a whole window, are
    errors.
    """

    component: Component
    source: str
    read: Callable[[], Sequence[float]]
    wraps_j: Sequence[float | None]
    _: KW_ONLY
    method: Method = "counter"
    simulated: bool = False
    highest_w: float = HIGHEST_W
    clock: Callable[[], float] = now
    deferred = False

    def mark(self) -> Mark:
        counts = tuple(self.read())
        return Mark(self.clock(), counts)

    def joules(self, start: Mark, end: Mark) -> float:
        seconds = end.time_s - start.time_s
        total = sum(
            self._difference(a, b, wrap, seconds)
            for a, b, wrap in zip(start.counts_j, end.counts_j, self.wraps_j, strict=True)
        )
        if total <= 0:
            raise MeterError(f"{self.source}: the counter stood still for {seconds:.1f} s")
        return total

    def _difference(self, start: float, end: float, wrap_j: float | None, seconds: float) -> float:
        if wrap_j is not None and seconds * self.highest_w >= wrap_j:
            raise MeterError(
                f"{self.source}: {seconds:.0f} s may hold more than one wrap of {wrap_j:.0f} J: "
                "measure shorter windows"
            )
        if end >= start:
            return end - start
        if wrap_j is None:
            raise MeterError(f"{self.source}: the counter went back from {start} to {end} J")
        found = end - start + wrap_j
        if found > (seconds + 1) * self.highest_w:
            raise MeterError(
                f"{self.source}: the counter went from {start:.0f} to {end:.0f} J in {seconds:.1f} "
                f"s, too far for a wrap of {wrap_j:.0f} J: it began anew, as after a suspension"
            )
        return found

    def close(self) -> None:
        pass


def measure_tick_s(
    meter: CounterMeter, *, ticks: int = TICKS, pause: Callable[[float], None] = sleep
) -> float:
    """Median seconds between two updates of a counter, by reading it until it has changed often.

    Raises MeterError if it does not change.
    """
    begin = last = meter.mark()
    changes: list[float] = []  # the first is that of no known length
    while len(changes) <= ticks:
        mark = meter.mark()
        if mark.counts_j != last.counts_j:
            changes.append(mark.time_s)
            last = mark
        elif mark.time_s - (changes[-1] if changes else begin.time_s) > PATIENCE_S:
            raise MeterError(f"{meter.source}: the counter did not change in {PATIENCE_S:.0f} s")
        pause(0.0)
    return median(b - a for a, b in pairwise(changes))
