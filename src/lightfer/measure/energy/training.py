"""What a training cost, and after how many images using its weights has cost as much."""

from collections.abc import Mapping, Sequence

from lightfer.measure.energy.model import ASSUMED, CpuModel
from lightfer.results import (
    Carbon,
    Component,
    Energy,
    EnergyReading,
    EnergyTotal,
    Training,
    TrainingEnergy,
)


def training_energy(
    seconds: float,
    *,
    threads: int | None = None,
    device: str = "cpu",
    readings: Sequence[EnergyReading] = (),
    model: CpuModel = ASSUMED,
) -> TrainingEnergy:
    """Energy of a training of `seconds`, for the card of its weights.

    From `readings`, those of each component summed, if meters were read all the time; a component
    with one reading that is missing is unknown as a whole. Else, on a CPU with `threads`, modelled.
    """
    known = _summed(readings)
    if known:
        return TrainingEnergy(
            seconds=seconds,
            joules=sum(known.values()),
            method=next(r.method for r in readings if r.component in known),
            includes=tuple(known),
            source="; ".join(dict.fromkeys(r.source for r in readings if r.component in known)),
        )
    reason = next((r.reason for r in readings if r.reason), None)
    if not device.startswith("cpu") or threads is None:
        why = reason or "no meter was read, and only a CPU's energy is modelled"
        return TrainingEnergy(seconds=seconds, joules=None, method="absent", reason=why)
    return TrainingEnergy(
        seconds=seconds,
        joules=seconds * threads * model.watts_per_thread,
        method="modelled",
        includes=("cpu",),
        source="time x threads x power of a busy thread",
        model=model.inputs(threads),
        reason=reason,
    )


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


def _summed(readings: Sequence[EnergyReading]) -> Mapping[Component, float]:
    """Joules of each component whose every reading is there."""
    sums: dict[Component, float] = {}
    names: list[Component] = [r.component for r in readings]
    for name in dict.fromkeys(names):
        values = [r.joules for r in readings if r.component == name]
        known = [v for v in values if v is not None]
        if len(known) == len(values):
            sums[name] = sum(known)
    return sums
