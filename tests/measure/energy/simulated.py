"""Meters of a machine that does not exist, for tests of everything that is built on meters.

Whatever they say is marked `simulated` and never counts as measured.
"""

from collections.abc import Callable
from time import process_time

from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.power import PolledMeter
from lightfer.measure.energy.protocol import Mark, MeterError, now
from lightfer.results import Component, Method

IDLE_W, BUSY_W = 50.0, 50.0  # of `simulated_meters`: always, and more for each busy thread


class SimulatedMachine:
    """A clock that moves only when something is done, and the energy drawn up to each moment."""

    def __init__(self, energy_j: Callable[[float], float]) -> None:
        self.time_s = 0.0
        self.energy_j = energy_j
        self.watchers: list[Callable[[], None]] = []

    def clock(self) -> float:
        return self.time_s

    def spend(self, seconds: float, step_s: float = 0.01) -> None:
        """Let time pass, in steps in which whoever polls may look."""
        end = self.time_s + seconds
        while self.time_s < end:
            self.time_s = min(end, self.time_s + (step_s if self.watchers else seconds))
            for watcher in self.watchers:
                watcher()

    def counter(
        self,
        *,
        component: Component = "gpu",
        tick_s: float = 1e-3,
        wrap_j: float | None = None,
        dies_at_s: float = float("inf"),
        noise_j: Callable[[int], float] = lambda tick: 0.0,
        highest_w: float = 150.0,
    ) -> CounterMeter:
        """A counter that is updated every `tick_s`, with an error drawn for each update."""

        def read() -> list[float]:
            if self.time_s >= dies_at_s:
                raise MeterError("simulated counter: it died")
            tick = int(self.time_s / tick_s + 1e-9)
            total = self.energy_j(tick * tick_s) + noise_j(tick)
            return [total if wrap_j is None else total % wrap_j]

        return CounterMeter(
            component, "simulated counter", read, [wrap_j],
            simulated=True, highest_w=highest_w, clock=self.clock,
        )  # fmt: skip

    def polled(self, read_w: Callable[[float], float], component: Component = "gpu") -> PolledMeter:
        """A power that is polled at every step of the clock."""
        meter = PolledMeter(
            component, "simulated power", lambda: read_w(self.time_s),
            thread=False, simulated=True, clock=self.clock,
        )  # fmt: skip
        meter.sample()
        self.watchers.append(meter.sample)
        return meter


class MissingMeter:
    """A meter that is never there."""

    component: Component = "gpu"
    method: Method = "counter"
    source = "simulated, missing"
    deferred, simulated = False, False  # it never says anything that could be marked

    def mark(self) -> Mark:
        raise MeterError("simulated, missing: there is no such meter")

    def joules(self, start: Mark, end: Mark) -> float:
        raise MeterError("simulated, missing: there is no such meter")

    def close(self) -> None:
        pass


class StillMeter(CounterMeter):
    """A counter that never moves, and knows whether it was closed."""

    def __init__(self, component: Component, source: str = "still") -> None:
        super().__init__(component, source, lambda: [7.0], [None], simulated=True)
        self.closed = False

    def close(self) -> None:
        self.closed = True


def simulated_meters(tick_s: float = 1e-3) -> list[CounterMeter | PolledMeter]:
    """A counter on the real clock that follows what this process computes, and its power polled."""
    begin = now()
    last = [begin, 0.0]

    def total_j(time_s: float) -> float:
        return IDLE_W * (time_s - begin) + BUSY_W * process_time()

    def read_j() -> list[float]:
        tick = int((now() - begin) / tick_s)
        if tick != known[0]:
            known[:] = [tick, total_j(now())]
        return [known[1]]

    def read_w() -> float:
        time_s, joules = now(), total_j(now())
        watts = (joules - last[1]) / max(time_s - last[0], 1e-9)
        last[:] = [time_s, joules]
        return watts

    known = [-1.0, 0.0]
    return [
        CounterMeter("gpu", "simulated counter", read_j, [None], simulated=True),
        PolledMeter("gpu", "simulated power", read_w, period_s=0.01, simulated=True),
    ]
