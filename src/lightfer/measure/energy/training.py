"""What a training cost, and after how many images using its weights has cost as much."""

from collections.abc import Sequence
from contextlib import suppress

from lightfer.measure.energy.protocol import Mark, Meter, MeterError
from lightfer.results import Carbon, Component, Energy, EnergyTotal, Training, TrainingEnergy


class EpochMeter:
    """Energy of each epoch by the first meter of each component.

    Meters are of the whole machine: what else runs on it is counted too.
    """

    def __init__(self, meters: Sequence[Meter] = ()) -> None:
        self.meters: dict[Component, Meter] = {}
        for meter in meters:
            if not meter.deferred:
                self.meters.setdefault(meter.component, meter)
        self._marks: dict[Component, Mark] = {}

    def start(self) -> None:
        """An epoch begins."""
        self._marks = {}
        for component, meter in self.meters.items():
            with suppress(MeterError):  # then this epoch's energy is unknown
                self._marks[component] = meter.mark()

    def joules(self) -> dict[str, float]:
        """Component -> joules since the start, of those that could be read."""
        found: dict[str, float] = {}
        for component, mark in self._marks.items():
            meter = self.meters[component]
            with suppress(MeterError):
                found[component] = meter.joules(mark, meter.mark())
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
