"""The modelled energy against its closed form; what is taken from CodeCarbon, and when not."""

import os
from pathlib import Path

import pytest

from lightfer.measure.energy import ASSUMED, CpuModel, cpu_model, model_cpu_energy
from lightfer.measure.energy.model import modelled_instead, unmeasured_energy


def test_joules_are_power_times_threads_times_time():
    energy = model_cpu_energy(0.010, threads=2, power=CpuModel(5.0, "given"))
    assert energy.components.cpu.joules_per_image == pytest.approx(0.1)
    assert energy.components.cpu.method == "modelled"
    assert energy.components.gpu.method == "absent"
    assert energy.components.gpu.joules_per_image is None
    assert energy.gross is not None
    assert energy.gross.joules_per_image == pytest.approx(0.1)
    assert energy.net is None
    assert energy.kwh_test_set == pytest.approx(0.1 * 3589 / 3.6e6)
    assert energy.model == {
        "watts_per_thread": 5.0,
        "watts_per_thread_source": "given",
        "threads": 2,
    }
    assert not energy.measured()
    assert energy.method() == "modelled"


def test_the_reasons_of_the_meters_are_kept_beside_the_model():
    asked = unmeasured_energy({"cpu": "only root may", "gpu": "no driver"})
    energy = modelled_instead(asked, model_cpu_energy(0.01, threads=1))
    assert energy.components.cpu.method == "modelled"
    assert energy.components.cpu.joules_per_image == pytest.approx(0.04)
    assert energy.components.cpu.reason == "only root may"
    assert (energy.components.gpu.method, energy.components.gpu.reason) == ("absent", "no driver")


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", 95),
        ("a processor of nobody", None),
    ],
)
def test_rated_power_is_used_of_a_processor_that_codecarbon_knows(
    tmp_path: Path, name: str, watts: float | None
):
    pytest.importorskip("codecarbon")
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nmodel name\t: {name}\nflags\t: fpu sse\n")
    found = cpu_model(info)
    if watts is None:
        assert found == ASSUMED
        return
    assert found.watts_per_thread == pytest.approx(watts / (os.cpu_count() or 1))
    assert f"{watts} W rated for {name}, over" in found.source
    both = "".join(f"model name\t: {name}\nphysical id\t: {i % 2}\n" for i in range(4))
    info.write_text(both)
    assert cpu_model(info).watts_per_thread == pytest.approx(2 * found.watts_per_thread)
    assert f"{watts} W rated for {name} x 2, over" in cpu_model(info).source
    info.write_text(f"model name\t: {name}\nflags\t: fpu sse hypervisor\n")
    assert cpu_model(info) == ASSUMED  # a part of a processor whose other parts are not ours
    assert cpu_model(tmp_path / "missing") == ASSUMED


def test_a_container_that_shows_some_threads_has_not_all_the_watts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As LXC does, of a whole processor: a thread was taken for 64 times what it draws."""
    pytest.importorskip("codecarbon")
    shown = "model name\t: AMD EPYC 7763 64-Core Processor\nphysical id\t: 0\nsiblings\t: 128\n"
    (tmp_path / "cpuinfo").write_text(shown * 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    found = cpu_model(tmp_path / "cpuinfo")
    assert found.watts_per_thread == pytest.approx(280 / 128)
    assert found.source.endswith("over 128 threads")


def test_the_assumption_is_codecarbons():
    cpu = pytest.importorskip("codecarbon.core.cpu")
    assert ASSUMED.watts_per_thread == cpu.DEFAULT_POWER_PER_CORE
