"""Which meters are opened, in which order, and the reasons of what is missing."""

from pathlib import Path

import pytest
import torch

from lightfer.measure.energy import MeterError, available, open_meters, training_meters, zeus
from lightfer.measure.energy.counter import CounterMeter
from tests.measure.energy.simulated import StillMeter


def meter(component, source: str) -> CounterMeter:
    return CounterMeter(component, source, lambda: [0.0], [None])


def failing(text: str):
    def find(*arguments):
        raise MeterError(text)

    return find


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch):
    """Sets what each kind of meter finds; nothing until told."""

    def set_to(**found) -> None:
        for name in ("nvml_meters", "rapl_meters", "zeus_meters"):
            monkeypatch.setattr(available, name, found.get(name) or failing(f"no {name}"))

    set_to()
    return set_to


def names(device: str, **options) -> tuple[list[str], dict]:
    meters, reasons = open_meters(device, **options)
    return [m.source for m in meters], reasons


def test_a_machine_without_any(finds):
    assert names("cpu") == (
        [],
        {
            "gpu": "not looked for: the run is on cpu",
            "cpu": "no rapl_meters",
            "dram": "no rapl_meters",
        },
    )
    assert names("cuda")[1]["gpu"] == "no nvml_meters"
    assert names("mps")[1]["gpu"] == "no zeus_meters"


def test_a_gpu_run_reads_both_and_a_cpu_run_leaves_the_gpu_alone(finds):
    finds(
        nvml_meters=lambda uuid: [meter("gpu", "NVML")],
        rapl_meters=lambda: [meter("cpu", "RAPL")],
    )
    assert names("cuda:0") == (
        ["NVML", "RAPL"],
        {"dram": "this processor has no counter of its memory"},
    )
    assert names("cpu")[0] == ["RAPL"]


def test_zeus_stands_in_for_what_is_missing(finds):
    finds(
        rapl_meters=lambda: [meter("cpu", "RAPL"), meter("dram", "RAPL dram")],
        zeus_meters=lambda amd: [meter("gpu", "Zeus gpu"), meter("cpu", "Zeus cpu")],
    )
    assert names("cuda")[0] == ["RAPL", "RAPL dram", "Zeus gpu"]
    finds(zeus_meters=lambda amd: [meter("gpu", "Zeus gpu"), meter("cpu", "Zeus cpu")])
    assert names("mps") == (["Zeus gpu", "Zeus cpu"], {"dram": "no rapl_meters"})
    assert names("cpu")[0] == ["Zeus cpu"]


@pytest.fixture
def zeus_gpus(monkeypatch: pytest.MonkeyPatch):
    """Sets what Zeus says of a machine: two GPUs, NVIDIA's or AMD's, and no chip."""
    device = pytest.importorskip("zeus.device")
    gpu, soc = pytest.importorskip("zeus.device.gpu"), pytest.importorskip("zeus.device.soc")

    def no_chip():
        raise soc.ZeusSoCInitError("no chip")

    two_gpus = {
        "__init__": lambda self: None,
        "__del__": lambda self: None,
        "__len__": lambda self: 2,
        "supports_get_total_energy_consumption": lambda self, index: True,
        "get_total_energy_consumption": lambda self, index: 1000 * (index + 5),
    }

    def set_to(name: str) -> None:
        gpus = type("Gpus", (getattr(gpu, name),), two_gpus)
        monkeypatch.setattr(device, "get_gpus", lambda: gpus())
        monkeypatch.setattr(device, "get_soc", no_chip)
        monkeypatch.setattr(available, "zeus_meters", zeus.zeus_meters)

    return set_to


def test_what_nvml_refuses_zeus_is_not_asked_for(finds, zeus_gpus):
    finds(nvml_meters=failing("the GPU is split up (MIG)"))
    zeus_gpus("NVIDIAGPUs")
    meters, reasons = names("cuda")
    assert meters == []
    assert reasons["gpu"] == "the GPU is split up (MIG)"


@pytest.mark.parametrize(("device", "index"), [("cuda:1", 1), ("cuda", 0)])
def test_of_amds_gpus_that_of_the_run_is_read(
    finds, zeus_gpus, monkeypatch: pytest.MonkeyPatch, device: str, index: int
):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    zeus_gpus("AMDGPUs")
    (gpu,), _ = open_meters(device)
    assert gpu.source.endswith(f" GPU {index}")
    assert gpu.mark().counts_j == (index + 5.0,)
    zeus_gpus("NVIDIAGPUs")
    assert "found NVIDIA GPUs, expected AMD's" in names(device)[1]["gpu"]


def test_a_training_keeps_the_meters_that_it_reads_and_closes_all(finds):
    all_of_them = [StillMeter("gpu", "NVML"), StillMeter("gpu", "power"), StillMeter("cpu", "RAPL")]
    finds(nvml_meters=lambda uuid: all_of_them[:2], rapl_meters=lambda: all_of_them[2:])
    seen = []

    def stop() -> None:
        with training_meters("cuda") as meters:
            seen.append(([m.source for m in meters], [m.closed for m in all_of_them]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert seen == [(["NVML", "RAPL"], [False, True, False])]
    assert [m.closed for m in all_of_them] == [True, True, True]


def test_a_power_log_comes_first_and_a_broken_one_is_an_error(finds, tmp_path: Path):
    finds(nvml_meters=lambda uuid: [meter("gpu", "NVML")])
    path = tmp_path / "p.csv"
    path.write_text(
        "timestamp, power.draw [W]\n"
        + "".join(f"2026/05/01 12:00:0{i}.000, 30.00 W\n" for i in range(9))
    )
    assert names("cuda", power_log=path)[0] == ["power log p.csv", "NVML"]
    path.write_text("time;power\n")
    with pytest.raises(MeterError):
        names("cpu", power_log=path)
