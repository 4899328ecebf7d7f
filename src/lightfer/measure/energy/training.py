"""What a training cost, and after how many images using its weights has cost as much."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise

from lightfer.measure.energy.available import open_meters
from lightfer.measure.energy.power import PolledMeter
from lightfer.measure.energy.protocol import Mark, Meter, MeterError, now
from lightfer.results import Carbon, Component, Energy, EnergyTotal, Training, TrainingEnergy

STEP_S = 10.0  # of a long epoch, between two marks; in 65 s a counter may wrap around twice


@contextmanager
def training_meters(device: str) -> Iterator[list[Meter]]:
    """The meters that a training on `device` reads, closed at the end; any others are at once."""
    meters, _ = open_meters(device)
    taken = list(EpochMeter(meters).meters.values())
    try:
        for meter in meters:
            if meter not in taken:
                meter.close()
        yield taken
    finally:
        for meter in taken:
            meter.close()


class EpochMeter:
    """Energy of each epoch by the first meter of each component.

    Meters are of the whole machine: what else runs on it is counted too. A long epoch is read in
    several windows, as a counter may wrap around more than once in a long one. A window that a
    meter does not tell costs it the epoch; `lost` says why, by component.
    """

    def __init__(self, meters: Sequence[Meter] = ()) -> None:
        self.meters: dict[Component, Meter] = {}
        for meter in meters:
            if not meter.deferred:
                self.meters.setdefault(meter.component, meter)
        self.lost: dict[str, str] = {}
        self._marks: dict[Component, list[Mark]] = {}
        self._marked_s = 0.0

    def start(self) -> None:
        """An epoch begins. What meters told before is not asked for again."""
        self._marks, self.lost, self._marked_s = {}, {}, now()
        for component, meter in self.meters.items():
            try:
                start = meter.mark()
            except MeterError as error:
                self.lost[component] = str(error)
                continue
            self._marks[component] = [start]
            if isinstance(meter, PolledMeter):
                meter.forget(start)

    def tick(self) -> None:
        """Called between two batches."""
        if now() - self._marked_s < STEP_S:
            return
        self._marked_s = now()
        for component, marks in self._marks.items():
            with suppress(MeterError):  # then the window is a longer one
                marks.append(self.meters[component].mark())

    def joules(self) -> dict[str, float]:
        """Component -> joules since the start, of those that could be read."""
        found: dict[str, float] = {}
        for component, (start, *between) in self._marks.items():
            meter = self.meters[component]
            try:  # without the last mark: in a short window after it a counter may stand still
                marks = [start, *between[:-1], meter.mark()]
                found[component] = sum(meter.joules(a, b) for a, b in pairwise(marks))
            except MeterError as error:
                self.lost[component] = str(error)
        return found


def training_cost(spent: TrainingEnergy, energy: Energy, carbon: Carbon) -> Training:
    """Set the energy of a training beside that of using its weights, on the same grid."""
    kwh = None if spent.joules is None else spent.joules / 3.6e6
    factor = carbon.pue * carbon.intensity.g_co2e_per_kwh / 1000
    return Training(
        energy=spent,
        kwh=kwh,
        kg_co2e=None if kwh is None else kwh * factor,
        images_until_repaid=_repaid(spent, energy.gross),
        images_until_repaid_net=_repaid(spent, energy.net),
        modelled="modelled" in (spent.method, *energy.method().split(" + ")),
    )


def _repaid(spent: TrainingEnergy, total: EnergyTotal | None) -> float | None:
    each = total.joules_per_image if total else None
    if spent.joules is None or each is None or each <= 0:
        return None
    return spent.joules / each
