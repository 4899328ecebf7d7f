"""Simulated meters against the closed form of their energy; RAPL and NVML from drawn sources."""

import math
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event
from time import sleep
from types import SimpleNamespace

import pytest

from lightfer.measure.energy import MeterError, measure_block
from lightfer.measure.energy.counter import CounterMeter, measure_tick_s
from lightfer.measure.energy.nvml import nvml_meters
from lightfer.measure.energy.power import PolledMeter, integrate
from lightfer.measure.energy.protocol import Mark, Meter
from lightfer.measure.energy.rapl import rapl_meters
from lightfer.measure.energy.zeus import meter_of_gpu, meters_of_chip
from lightfer.results import EnergyBlock
from tests.measure.energy.simulated import MissingMeter, SimulatedMachine

PASS_S, IMAGES = 0.003, 4


def constant(t: float) -> float:
    return 100 * t


def ramp(t: float) -> float:
    """From 50 W, 5 W more each second."""
    return 50 * t + 2.5 * t**2


def square(t: float) -> float:
    """60 and 140 W in turn, 0.7 s each."""
    whole, rest = divmod(t, 1.4)
    return whole * 140 + 60 * min(rest, 0.7) + 140 * max(0.0, rest - 0.7)


def power_of(energy_j: Callable[[float], float]) -> Callable[[float], float]:
    return lambda t: (energy_j(t + 1e-6) - energy_j(t - 1e-6)) / 2e-6


def run_block(
    machine: SimulatedMachine, meters: list[Meter], align_to: CounterMeter | None, seconds=10.0
) -> EnergyBlock:
    def work() -> int:
        machine.spend(PASS_S)
        return IMAGES

    return measure_block(
        work, meters, seconds, align_to=align_to, clock=machine.clock, pause=machine.spend
    )


@pytest.mark.parametrize("energy_j", [constant, ramp, square])
@pytest.mark.parametrize("kind", ["counter", "slow counter", "wrapping counter", "polled"])
def test_joules_are_those_of_the_closed_form(energy_j: Callable[[float], float], kind: str):
    machine = SimulatedMachine(energy_j)
    counter = None
    if kind == "polled":
        meter = machine.polled(power_of(energy_j))
    else:
        meter = counter = machine.counter(
            tick_s=0.1 if kind == "slow counter" else 0.001,
            wrap_j=1700.0 if kind == "wrapping counter" else None,
        )
    block = run_block(machine, [meter], counter)
    (reading,) = block.readings
    start, end = block.work_s
    assert reading.reason is None
    assert reading.joules == pytest.approx(energy_j(end) - energy_j(start), rel=0.005)
    assert end - start >= 10
    assert block.images == pytest.approx((end - start) / PASS_S * IMAGES, rel=1e-6)
    for watts, (a, b) in zip(
        reading.idle_w, (block.idle_before_s, block.idle_after_s), strict=True
    ):
        assert watts == pytest.approx((energy_j(b) - energy_j(a)) / (b - a), rel=0.005)


def test_a_counter_that_wraps_did_wrap_in_that_test():
    machine = SimulatedMachine(constant)
    counter = machine.counter(wrap_j=1700.0)
    machine.spend(16.0)
    before = counter.mark()
    machine.spend(10.0)
    after = counter.mark()
    assert after.counts_j < before.counts_j
    assert counter.joules(before, after) == pytest.approx(1000)


def test_without_alignment_a_slow_tick_costs_accuracy():
    """What the alignment is for: a window of 1 s of a counter that ticks every 0.7 s."""
    errors = {}
    for align in (True, False):
        machine = SimulatedMachine(constant)
        counter = machine.counter(tick_s=0.7)
        block = run_block(machine, [counter], counter if align else None, seconds=1.0)
        joules = block.readings[0].joules
        assert joules is not None
        errors[align] = abs(joules / (100 * (block.work_s[1] - block.work_s[0])) - 1)
    assert errors[True] < 0.005 < 0.05 < errors[False]


@pytest.mark.parametrize(
    ("dies_at_s", "reason"), [(5.0, "it died"), (0.0, "it died"), (None, "there is no such meter")]
)
def test_missing_and_dying_meters_are_null_with_the_reason(dies_at_s: float | None, reason: str):
    machine = SimulatedMachine(constant)
    good = machine.polled(lambda t: 100.0, component="cpu")
    bad = MissingMeter() if dies_at_s is None else machine.counter(dies_at_s=dies_at_s)
    block = run_block(machine, [bad, good], bad if isinstance(bad, CounterMeter) else None)
    failed, told = block.readings
    assert failed.joules is None
    assert failed.reason is not None
    assert reason in failed.reason
    seconds = block.work_s[1] - block.work_s[0]
    assert told.joules == pytest.approx(100 * seconds, rel=0.005)


def test_a_counter_that_stands_still_is_no_zero():
    machine = SimulatedMachine(lambda t: 7.0)
    block = run_block(machine, [machine.counter()], None)
    assert block.readings[0].joules is None
    assert "stood still" in (block.readings[0].reason or "")


def test_what_a_difference_of_a_counter_cannot_mean():
    plain = CounterMeter("cpu", "c", lambda: [0.0], [None])
    with pytest.raises(MeterError, match=r"went back from 5\.0 to 3\.0 J"):
        plain.joules(Mark(0, (5.0,)), Mark(1, (3.0,)))
    wrapping = CounterMeter("cpu", "c", lambda: [0.0], [1000.0], highest_w=150)
    assert wrapping.joules(Mark(0, (900.0,)), Mark(2, (50.0,))) == 150
    with pytest.raises(MeterError, match="more than one wrap"):
        wrapping.joules(Mark(0, (900.0,)), Mark(7, (950.0,)))
    with pytest.raises(MeterError, match=r"from 300 to 50 J in 2\.0 s, too far for a wrap"):
        wrapping.joules(Mark(0, (300.0,)), Mark(2, (50.0,)))


@pytest.mark.parametrize("tick_s", [0.1, 0.02])
def test_the_tick_is_measured(tick_s: float):
    machine = SimulatedMachine(constant)
    counter = machine.counter(tick_s=tick_s)
    found = measure_tick_s(counter, pause=lambda _: machine.spend(1e-3))
    assert found == pytest.approx(tick_s, rel=0.05)
    still = SimulatedMachine(lambda t: 7.0)
    with pytest.raises(MeterError, match="did not change in 3 s"):
        measure_tick_s(still.counter(), pause=lambda _: still.spend(1e-2))


def test_integration_at_its_edges_and_over_gaps():
    times, watts = [0.0, 1.0, 2.0, 5.0], [0.0, 10.0, 10.0, 10.0]

    def joules(start: float, end: float, longest_gap_s: float = 1.5) -> float:
        return integrate(times, watts, start, end, longest_gap_s=longest_gap_s, source="s")

    assert joules(0, 2) == pytest.approx(15)
    assert joules(0.5, 1.5) == pytest.approx(0.5 * (5 + 10) / 2 + 5)
    assert joules(0.2, 0.4) == pytest.approx(0.2 * 3)
    assert joules(-1, 0) == 0
    for start, end in ((1, 3), (-2, 1), (4, 7)):
        with pytest.raises(MeterError):
            joules(start, end)
    with pytest.raises(MeterError, match="cover nothing"):
        integrate([], [], 0, 1, longest_gap_s=1, source="s")


def test_polling_in_the_background_and_readings_that_fail():
    """One of them ended the meter, for windows before it, too."""
    there = Event()
    there.set()

    def read() -> float:
        if not there.is_set():
            raise MeterError("the sensor is gone")
        return 100.0

    def window(seconds: float) -> tuple[Mark, Mark]:
        start = meter.mark()
        sleep(seconds)
        return start, meter.mark()

    def sampled() -> None:
        known = len(meter._times_s)
        while len(meter._times_s) < known + 2:
            sleep(0.001)

    meter = PolledMeter("gpu", "p", read, period_s=0.005)
    sampled()
    before = window(0.1)
    sampled()
    there.clear()
    gone = window(0.8)
    there.set()
    sampled()
    after = window(0.1)
    for start, end in (before, after):
        assert meter.joules(start, end) == pytest.approx(100 * (end.time_s - start.time_s))
    with pytest.raises(MeterError, match=r"no sample for .* window: the sensor is gone"):
        meter.joules(*gone)
    meter.close()


def test_what_no_window_needs_any_more_is_forgotten():
    machine = SimulatedMachine(ramp)
    meter = machine.polled(power_of(ramp))
    machine.spend(20.0)
    first = meter.mark()
    machine.spend(1.0)
    last = meter.mark()
    known = len(meter._times_s)
    meter.forget(first)
    assert known > 2000
    assert len(meter._times_s) == len(meter._watts) < 110
    assert meter.joules(first, last) == pytest.approx(ramp(21.0) - ramp(20.0), rel=1e-4)
    meter.forget(Mark(0.0))
    assert meter.joules(first, last) > 0


def test_a_window_does_not_copy_what_is_not_of_it():
    """By what is asked of the lists: a history of many hours costs a window nothing."""

    class Seen(list):
        most = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            Seen.most = max(Seen.most, len(found) if isinstance(index, slice) else 0)
            return found

        def __iter__(self):
            raise AssertionError("all of it is gone through")

    machine = SimulatedMachine(constant)
    meter = machine.polled(lambda t: 100.0)
    machine.spend(100.0)
    meter._times_s, meter._watts = Seen(meter._times_s), Seen(meter._watts)
    assert meter.joules(Mark(50.0), Mark(50.5)) == pytest.approx(50)
    assert 50 <= Seen.most < 60


def draw_zone(root: Path, folder: str, name: str, uj: int, wrap_uj: int | None = 2**38) -> Path:
    zone = root / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{uj}\n")
    if wrap_uj:
        (zone / "max_energy_range_uj").write_text(f"{wrap_uj}\n")
    return zone


def test_rapl_adds_packages_and_nothing_that_nests(tmp_path: Path):
    first = draw_zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = draw_zone(tmp_path, "intel-rapl:1", "package-1", 900_000_000, 1_000_000_000)
    draw_zone(tmp_path, "intel-rapl:0:0", "core", 4_000_000)
    memory = draw_zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000)
    draw_zone(tmp_path, "intel-rapl:2", "psys", 99_000_000)
    draw_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    cpu, dram = rapl_meters(tmp_path)
    start = (cpu.mark(), dram.mark())
    (first / "energy_uj").write_text("35000000")
    (second / "energy_uj").write_text("50000000")  # wrapped
    (memory / "energy_uj").write_text("3000000")
    assert cpu.joules(Mark(0, start[0].counts_j), Mark(0.5, cpu.mark().counts_j)) == 30 + 150
    assert dram.joules(start[1], dram.mark()) == pytest.approx(2)
    assert (cpu.component, dram.component) == ("cpu", "dram")


def test_rapl_counts_a_counter_once_that_each_die_repeats(tmp_path: Path):
    draw_zone(tmp_path, "intel-rapl:0", "package-0-die-0", 700_000_000)
    draw_zone(tmp_path, "intel-rapl:1", "package-0-die-1", 700_000_100)
    (cpu,) = rapl_meters(tmp_path)
    assert cpu.mark().counts_j == (700.0,)


def test_rapl_knows_a_repeated_counter_that_is_updated_between_two_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    draw_zone(tmp_path, "intel-rapl:0", "package-0-die-0", 0)
    draw_zone(tmp_path, "intel-rapl:1", "package-0-die-1", 0)
    total_uj = count(5_000_000, 300_000)

    def next_total(self, *args, **kwargs) -> str:
        return str(next(total_uj))

    monkeypatch.setattr(Path, "read_text", _only_for("energy_uj", next_total))
    (cpu,) = rapl_meters(tmp_path)
    assert len(cpu.mark().counts_j) == 1


def test_rapl_says_why_it_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MeterError, match="no RAPL counter"):
        rapl_meters(tmp_path)
    zone = draw_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").write_text("none")
    with pytest.raises(MeterError, match="cannot be read"):
        rapl_meters(tmp_path)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", _only_for("energy_uj", refuse))
    with pytest.raises(MeterError, match="sudo chmod a\\+r"):
        rapl_meters(tmp_path)


def _only_for(name: str, other: Callable) -> Callable:
    read = Path.read_text
    return lambda self, *a, **k: other(self) if self.name == name else read(self, *a, **k)


class FakeNvml:
    """As much of NVML as is used; `without` are functions that the GPU does not support."""

    NVML_SUCCESS, NVML_FI_DEV_POWER_INSTANT, NVML_DEVICE_MIG_ENABLE = 0, 186, 1

    class NVMLError(Exception):
        pass

    def __init__(self, *without: str, mig: int = 0) -> None:
        self.without, self.mig, self.mj = without, mig, 5000

    def __getattribute__(self, name: str):
        if name.startswith("nvml") and name in super().__getattribute__("without"):

            def refuse(*args):
                raise FakeNvml.NVMLError("Not Supported")

            return refuse
        return super().__getattribute__(name)

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int):  # noqa: N802
        return f"index {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str):  # noqa: N802
        return uuid

    def nvmlDeviceGetMigMode(self, handle: str):  # noqa: N802
        return [self.mig, self.mig]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str):  # noqa: N802
        assert handle == "GPU-abc"
        return self.mj

    def nvmlDeviceGetFieldValues(self, handle: str, fields: list[int]):  # noqa: N802
        assert fields == [186]
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=31_500))]

    def nvmlDeviceGetPowerUsage(self, handle: str):  # noqa: N802
        return 29_000


def test_nvml_reads_the_counter_and_polls_instant_power():
    nvml = FakeNvml()
    counter, polled = nvml_meters("abc", nvml=nvml)
    assert isinstance(polled, PolledMeter)
    start = counter.mark()
    nvml.mj = 12_000
    assert counter.joules(start, counter.mark()) == pytest.approx(7)
    polled.sample()
    assert polled._watts[-1] == 31.5
    polled.close()
    assert (counter.method, polled.method) == ("counter", "polled")


def test_nvml_without_a_counter_or_instant_power_or_anything():
    (polled,) = nvml_meters(
        "abc",
        nvml=FakeNvml("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetFieldValues"),
    )
    assert polled.source == "NVML power"
    polled.close()
    nothing = FakeNvml(
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetPowerUsage",
    )
    with pytest.raises(MeterError, match="neither energy nor power"):
        nvml_meters("abc", nvml=nothing)
    with pytest.raises(MeterError, match="MIG"):
        nvml_meters("abc", nvml=FakeNvml(mig=1))
    with pytest.raises(MeterError, match="Not Supported"):
        nvml_meters("abc", nvml=FakeNvml("nvmlInit"))


def test_zeus_fields_of_apple_jetson_and_amd():
    apple = SimpleNamespace(cpu_total_mj=5000, gpu_mj=2000, dram_mj=None)
    gpu, cpu = meters_of_chip(SimpleNamespace(get_total_energy_consumption=lambda: apple))
    assert (gpu.component, gpu.mark().counts_j, gpu.method) == ("gpu", (2.0,), "counter")
    assert (cpu.component, cpu.mark().counts_j) == ("cpu", (5.0,))
    jetson = SimpleNamespace(cpu_energy_mj=1.0, gpu_energy_mj=None, total_energy_mj=9.0)
    (cpu,) = meters_of_chip(SimpleNamespace(get_total_energy_consumption=lambda: jetson))
    assert cpu.method == "polled"  # Zeus integrates power that it polls

    class Gpus(list):
        def supports_get_total_energy_consumption(self, index: int) -> bool:
            return True

        def get_total_energy_consumption(self, index: int) -> int:
            return 3000

    assert meter_of_gpu(Gpus(["gpu"]), 0).mark().counts_j == (3.0,)
    with pytest.raises(MeterError, match="no GPU 1 with"):
        meter_of_gpu(Gpus(["gpu"]), 1)
    broken = meters_of_chip(SimpleNamespace(get_total_energy_consumption=lambda: apple))[0]
    apple.gpu_mj = None
    with pytest.raises(MeterError, match="gpu_mj"):
        broken.mark()
    assert math.isfinite(cpu.mark().time_s)
