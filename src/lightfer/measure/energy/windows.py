"""One block: idle, work for a window of seconds, idle, each read by every meter.

An energy counter that ticks every 100 ms misplaces each edge of a window by up to a tick. So a
window of work starts and ends at a tick of the slowest counter, the work going on up to it, and
every image of it is counted; what is left is one pass at each edge. The model is resident and
warm in all three windows; after work the machine is left alone for a while before idle is read.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import sleep

import msgspec

from lightfer.errors import ArgumentError
from lightfer.measure.energy.counter import PATIENCE_S, CounterMeter, measure_tick_s
from lightfer.measure.energy.protocol import Mark, Meter, MeterError, now
from lightfer.results import EnergyBlock, EnergyReading

Work = Callable[[], int]  # one pass, finished when it returns; how many images it was
WARM, SETTLE = 0.1, 0.1  # shares of a window: work before it, rest before idle is read
SLICE_S = 1e-3  # of the rest in which the counter is looked at


@dataclass(frozen=True)
class EnergyPlan:
    """How long and how often energy is read; the number of blocks follows from the first ones."""

    seconds: float = 10.0  # of work in a block
    fewest_blocks: int = 5
    most_blocks: int = 20
    idle_share: float = 0.5  # of `seconds`: each of the two idle windows
    half_width: float = 0.03  # of the 95 % interval, relative: what more blocks are taken for
    batch_sizes: tuple[int, ...] = ()  # beside that of the benchmark

    def __post_init__(self) -> None:
        if self.seconds <= 0 or not 2 <= self.fewest_blocks <= self.most_blocks:
            raise ArgumentError(
                f"windows of {self.seconds} s, {self.fewest_blocks} to {self.most_blocks} blocks: "
                "expected more than 0 s and at least 2 blocks"
            )

    def least_s(self, cases: int) -> float:
        """Time that the fewest blocks of so many models and batch sizes take."""
        block = self.seconds * (1 + WARM + 2 * SETTLE + 2 * self.idle_share)
        return cases * self.fewest_blocks * block


def measure_ticks(meters: Sequence[Meter]) -> dict[str, float]:
    """Source -> seconds between two updates, for each counter that ticks."""
    ticks = {}
    for meter in meters:
        if isinstance(meter, CounterMeter):
            with suppress(MeterError):  # its blocks will say why
                ticks[meter.source] = measure_tick_s(meter)
    return ticks


def slowest(meters: Sequence[Meter], ticks: dict[str, float]) -> CounterMeter | None:
    """The counter that windows are aligned to."""
    counters = [m for m in meters if isinstance(m, CounterMeter) and m.source in ticks]
    return max(counters, key=lambda m: ticks[m.source], default=None)


def measure_block(
    work: Work,
    meters: Sequence[Meter],
    seconds: float,
    *,
    idle_s: float | None = None,
    align_to: CounterMeter | None = None,
    clock: Callable[[], float] = now,
    pause: Callable[[float], None] = sleep,
) -> EnergyBlock:
    """Run `work` again and again for at least `seconds`, with idle windows before and after.

    `idle_s` is the length of each of these; half of `seconds` without it.

    A meter that fails costs its reading, with the reason in it, and nothing else.
    """

    idle_s = seconds / 2 if idle_s is None else idle_s
    window = Window(meters, align_to, clock)
    pause(SETTLE * seconds)
    before = window.idle(idle_s, pause)
    window.spend(work, WARM * seconds)
    during = window.of(work, seconds)
    pause(SETTLE * seconds)
    after = window.idle(idle_s, pause)
    return EnergyBlock(
        work_s=during.span_s,
        idle_before_s=before.span_s,
        idle_after_s=after.span_s,
        images=during.images,
        readings=tuple(
            _reading(meter, during.marks[i], (before.marks[i], after.marks[i]))
            for i, meter in enumerate(meters)
            if not meter.deferred
        ),
    )


def with_deferred(block: EnergyBlock, meters: Sequence[Meter]) -> EnergyBlock:
    """The block with the readings of the meters that know them only after the run."""
    late = tuple(
        _reading(
            meter, _marks(block.work_s), (_marks(block.idle_before_s), _marks(block.idle_after_s))
        )
        for meter in meters
        if meter.deferred
    )
    return msgspec.structs.replace(block, readings=late + block.readings)


Edge = Mark | MeterError


@dataclass(frozen=True)
class Done:
    """What happened in one window: its span, images, and two marks of each meter."""

    span_s: tuple[float, float]
    images: int
    marks: list[tuple[Edge, Edge]]


@dataclass(frozen=True)
class Window:
    """Windows read by all meters, from tick to tick of `align_to`."""

    meters: Sequence[Meter]
    align_to: CounterMeter | None
    clock: Callable[[], float]

    def of(self, work: Work, seconds: float) -> Done:
        """A window of at least `seconds` of work."""
        return self._between_ticks(work, lambda: self.spend(work, seconds))

    def idle(self, seconds: float, pause: Callable[[float], None] = sleep) -> Done:
        """A window of at least `seconds` without work."""

        def rest(span_s: float = SLICE_S) -> int:
            pause(span_s)
            return 0

        return self._between_ticks(rest, lambda: rest(seconds))

    def _between_ticks(self, work: Work, content: Work) -> Done:
        self.until_tick(work)
        start_s, first = self.clock(), [_mark(m) for m in self.meters]
        images = content()
        images += self.until_tick(work)
        end_s, last = self.clock(), [_mark(m) for m in self.meters]
        return Done((start_s, end_s), images, list(zip(first, last, strict=True)))

    def spend(self, work: Work, seconds: float) -> int:
        """At least one pass, and for `seconds`; returns the images."""
        end_s, images = self.clock() + seconds, work()
        while self.clock() < end_s:
            images += work()
        return images

    def until_tick(self, work: Work) -> int:
        """Go on with the work until the counter is updated, or it is clear that it never is."""
        if self.align_to is None:
            return 0
        begin_s, images = self.clock(), 0
        with suppress(MeterError):  # the reading says so
            before = self.align_to.mark().counts_j
            while self.clock() - begin_s < PATIENCE_S:
                images += work()
                if self.align_to.mark().counts_j != before:
                    break
        return images


def _mark(meter: Meter) -> Edge:
    try:
        return meter.mark()
    except MeterError as error:
        return error


def _marks(span_s: tuple[float, float]) -> tuple[Edge, Edge]:
    return Mark(span_s[0]), Mark(span_s[1])


def _reading(
    meter: Meter, during: tuple[Edge, Edge], idle: tuple[tuple[Edge, Edge], tuple[Edge, Edge]]
) -> EnergyReading:
    joules, reason = _joules(meter, *during)
    watts = []
    for start, end in idle:
        drawn, _ = _joules(meter, start, end)
        spent = isinstance(start, Mark) and isinstance(end, Mark) and end.time_s - start.time_s
        watts.append(drawn / spent if drawn is not None and spent else None)
    return EnergyReading(
        component=meter.component,
        method=meter.method,
        source=meter.source,
        joules=joules,
        idle_w=(watts[0], watts[1]),
        reason=reason,
    )


def _joules(meter: Meter, start: Edge, end: Edge) -> tuple[float | None, str | None]:
    for edge in (start, end):
        if isinstance(edge, MeterError):
            return None, str(edge)
    assert isinstance(start, Mark)
    assert isinstance(end, Mark)
    try:
        return meter.joules(start, end), None
    except MeterError as error:
        return None, str(error)
