"""The energy of a training, and when it is repaid, against their closed forms."""

import pytest

from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    CpuModel,
    EnergyPlan,
    energy_of_blocks,
    model_cpu_energy,
    training_cost,
    training_energy,
    unmeasured_energy,
)
from lightfer.results import EnergyReading
from tests.measure.energy.test_estimate import block


def part(component, joules: float | None, source: str = "RAPL") -> EnergyReading:
    return EnergyReading(
        component=component, method="counter", source=source, joules=joules,
        reason=None if joules is not None else "it died",
    )  # fmt: skip


def test_modelled_on_a_cpu_and_unknown_on_a_gpu():
    spent = training_energy(3600, threads=2, model=CpuModel(5.0, "s"))
    assert (spent.joules, spent.method, spent.includes) == (36_000, "modelled", ("cpu",))
    assert spent.model == {"watts_per_thread": 5.0, "watts_per_thread_source": "s", "threads": 2}
    unknown = training_energy(3600, threads=2, device="cuda")
    assert (unknown.joules, unknown.method) == (None, "absent")
    assert unknown.reason is not None
    assert training_energy(3600).joules is None


def test_measured_components_are_summed_and_a_broken_one_is_left_out():
    spent = training_energy(
        10, threads=2, device="cuda",
        readings=[part("gpu", 700.0, "NVML"), part("cpu", 100.0), part("gpu", 300.0, "NVML"),
                  part("cpu", None)],
    )  # fmt: skip
    assert (spent.joules, spent.method, spent.includes) == (1000, "counter", ("gpu",))
    assert spent.source == "NVML"
    fallen = training_energy(10, threads=1, readings=[part("cpu", None)])
    assert (fallen.method, fallen.reason) == ("modelled", "it died")


def test_images_until_repaid_by_gross_and_net():
    energy = energy_of_blocks([block()] * 5, EnergyPlan(), batch_size=64)  # 2 J gross, 1 J net
    spent = training_energy(10, readings=[part("gpu", 3600.0)])
    cost = training_cost(spent, energy, carbon_of(energy, pue=1.5))
    assert cost.images_until_repaid == pytest.approx(1800)
    assert cost.images_until_repaid_net == pytest.approx(3600)
    assert cost.kwh == pytest.approx(1e-3)
    assert cost.kg_co2e == pytest.approx(1e-3 * 1.5 * WORLD.g_co2e_per_kwh / 1000)
    assert not cost.modelled


def test_a_modelled_side_marks_the_whole_and_an_unknown_one_leaves_it_unknown():
    modelled = model_cpu_energy(0.01, threads=1)
    cost = training_cost(training_energy(100, threads=1), modelled, carbon_of(modelled))
    assert cost.modelled
    assert cost.images_until_repaid == pytest.approx(100 / 0.01)
    assert cost.images_until_repaid_net is None
    nothing = unmeasured_energy()
    cost = training_cost(training_energy(100, threads=1), nothing, carbon_of(nothing))
    assert cost.images_until_repaid is None
    cost = training_cost(training_energy(100), modelled, carbon_of(modelled))
    assert (cost.kwh, cost.kg_co2e, cost.images_until_repaid) == (None, None, None)
