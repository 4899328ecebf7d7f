"""The modelled energy and the carbon against their closed forms."""

import pytest

from lightfer.measure.carbon import WORLD, carbon_of
from lightfer.measure.energy import model_cpu_energy, unmeasured_energy


def test_joules_are_power_times_threads_times_time():
    energy = model_cpu_energy(0.010, threads=2, watts_per_thread=5.0)
    assert energy.components.cpu.joules_per_image == pytest.approx(0.1)
    assert energy.components.cpu.method == "modelled"
    assert energy.components.gpu.method == "absent"
    assert energy.components.gpu.joules_per_image is None
    assert energy.gross is not None
    assert energy.gross.joules_per_image == pytest.approx(0.1)
    assert energy.net is None
    assert energy.kwh_test_set == pytest.approx(0.1 * 3589 / 3.6e6)
    assert energy.model == {"watts_per_thread": 5.0, "threads": 2}


def test_carbon_is_energy_times_intensity():
    carbon = carbon_of(model_cpu_energy(0.036, threads=1, watts_per_thread=10.0))
    # 0.36 J per image are 360 J = 1e-4 kWh per 1000 images.
    assert carbon.g_co2e_per_1000_images == pytest.approx(1e-4 * WORLD.g_co2e_per_kwh)
    assert carbon.kg_co2e_test_set == pytest.approx(3.589e-4 * WORLD.g_co2e_per_kwh / 1000)


@pytest.mark.parametrize("energy", [unmeasured_energy(), model_cpu_energy(None, threads=2)])
def test_unknown_stays_unknown(energy):
    assert energy.kwh_test_set is None
    carbon = carbon_of(energy)
    assert (carbon.kg_co2e_test_set, carbon.g_co2e_per_1000_images) == (None, None)
