"""The energy of a training, and when it is repaid, against their closed forms."""

import pytest

from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    CpuModel,
    EnergyPlan,
    energy_of_blocks,
    model_cpu_energy,
    training_cost,
    unmeasured_energy,
)
from lightfer.results import TrainingEnergy
from tests.measure.energy.test_estimate import block

MEASURED = TrainingEnergy(seconds=10, joules=3600.0, method="counter", includes=("gpu",))
MODELLED = TrainingEnergy(seconds=100, joules=500.0, method="modelled", includes=("cpu",))
UNKNOWN = TrainingEnergy(seconds=100, joules=None, method="absent", reason="no meter was read")


def test_images_until_repaid_by_gross_and_net():
    energy = energy_of_blocks([block()] * 5, EnergyPlan(), batch_size=64)  # 2 J gross, 1 J net
    cost = training_cost(MEASURED, energy, carbon_of(energy, pue=1.5))
    assert cost.images_until_repaid == pytest.approx(1800)
    assert cost.images_until_repaid_net == pytest.approx(3600)
    assert cost.kwh == pytest.approx(1e-3)
    assert cost.kg_co2e == pytest.approx(1e-3 * 1.5 * WORLD.g_co2e_per_kwh / 1000)
    assert not cost.modelled


def test_a_modelled_side_marks_the_whole_and_an_unknown_one_leaves_it_unknown():
    modelled = model_cpu_energy(0.01, threads=1, power=CpuModel(5.0, "given"))
    cost = training_cost(MODELLED, modelled, carbon_of(modelled))
    assert cost.modelled
    assert cost.images_until_repaid == pytest.approx(100 / 0.01)
    assert cost.images_until_repaid_net is None
    nothing = unmeasured_energy()
    cost = training_cost(MODELLED, nothing, carbon_of(nothing))
    assert cost.images_until_repaid is None
    cost = training_cost(UNKNOWN, modelled, carbon_of(modelled))
    assert (cost.kwh, cost.kg_co2e, cost.images_until_repaid) == (None, None, None)
