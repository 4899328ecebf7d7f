"""What a training cost, and after how many images using its weights has cost as much."""

from lightfer.results import Carbon, Energy, EnergyTotal, Training, TrainingEnergy


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
