"""The energy of a training, and when it is repaid, against their closed forms."""

from collections.abc import Sequence

import pytest

from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import (
    CpuModel,
    EnergyPlan,
    EpochMeter,
    Meter,
    energy_of_blocks,
    model_cpu_energy,
    training_cost,
    unmeasured_energy,
)
from lightfer.results import TrainingEnergy
from tests.measure.energy.simulated import MissingMeter, SimulatedMachine
from tests.measure.energy.test_estimate import block

AMD_WRAP_J = 65_532.6
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


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimulatedMachine:
    """Of 400 W, by whose clock epochs are read."""
    machine = SimulatedMachine(lambda t: 400 * t)
    monkeypatch.setattr("lightfer.measure.energy.training.now", machine.clock)
    return machine


def epoch(machine: SimulatedMachine, meter: EpochMeter, batches_s: Sequence[float]) -> dict:
    meter.start()
    for seconds in batches_s:
        machine.spend(seconds)
        meter.tick()
    return meter.joules()


def marks_of(meter: Meter) -> list[float]:
    """When it is marked from now on."""
    times, mark = [], meter.mark

    def marked():
        found = mark()
        times.append(found.time_s)
        return found

    meter.mark = marked
    return times


def test_a_long_epoch_is_read_in_windows_in_which_a_counter_wraps_once(machine: SimulatedMachine):
    counter = machine.counter(component="cpu", wrap_j=AMD_WRAP_J, highest_w=1000)
    meter = EpochMeter([counter])
    for seconds in (200.0, 900.0, 9.0):
        told = epoch(machine, meter, [0.5] * round(2 * seconds))
        assert told == {"cpu": pytest.approx(400 * seconds, rel=1e-3)}
    assert meter.lost == {}


def test_the_marks_of_short_and_long_epochs(machine: SimulatedMachine):
    """A mark every 10 s but for the last one, after which a slow counter could stand still."""
    slow = machine.counter(component="cpu", tick_s=3.0)
    times = marks_of(slow)
    meter = EpochMeter([slow])
    assert epoch(machine, meter, [1.0] * 9)["cpu"] == pytest.approx(3600)
    assert times == [0, 9]
    times.clear()
    assert epoch(machine, meter, [1.0] * 11)["cpu"] == pytest.approx(3600)
    assert times == [9, 19, 20]  # its last update was at 18


def test_a_slow_window_costs_its_epoch_and_says_why(machine: SimulatedMachine):
    counter = machine.counter(component="cpu", wrap_j=AMD_WRAP_J, highest_w=1000)
    meter = EpochMeter([counter, MissingMeter()])
    assert epoch(machine, meter, [1.0, 1.0, 3600.0, 1.0, 1.0]) == {}
    assert "more than one wrap" in meter.lost["cpu"]
    assert "there is no such meter" in meter.lost["gpu"]
    assert epoch(machine, meter, [1.0] * 100) == {"cpu": pytest.approx(40_000, rel=1e-3)}
    assert set(meter.lost) == {"gpu"}


def test_a_polled_meter_keeps_the_samples_of_one_epoch(machine: SimulatedMachine):
    power = machine.polled(lambda t: 400.0)
    meter = EpochMeter([power])
    for _ in range(3):
        assert epoch(machine, meter, [1.0] * 35) == {"gpu": pytest.approx(14_000)}
        assert len(power._times_s) == len(power._watts) < 3600
