"""Which meters are opened, in which order, and the reasons of what is missing."""

from pathlib import Path

import pytest

from lightfer.measure.energy import MeterError, available, open_meters
from lightfer.measure.energy.counter import CounterMeter


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
        zeus_meters=lambda: [meter("gpu", "Zeus gpu"), meter("cpu", "Zeus cpu")],
    )
    assert names("cuda")[0] == ["RAPL", "RAPL dram", "Zeus gpu"]
    finds(zeus_meters=lambda: [meter("gpu", "Zeus gpu"), meter("cpu", "Zeus cpu")])
    assert names("mps") == (["Zeus gpu", "Zeus cpu"], {"dram": "no rapl_meters"})
    assert names("cpu")[0] == ["Zeus cpu"]


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
