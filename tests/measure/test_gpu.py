"""What is noticed of a GPU through a drawn NVML, and the verdict on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from lightfer.inference.backends.eager import in_precision
from lightfer.measure.gpu import GpuWatch
from lightfer.measure.noise import verdict
from lightfer.measure.process import tune_process
from lightfer.measure.yardstick import Yardstick
from lightfer.results import GpuNoise
from tests.measure.test_noise import AFTER, BEFORE


class FakeNvml:
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.pids, self.clock, self.degrees, self.limit, self.bits = [os.getpid()], 1400, 50, 300, 0

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str):  # noqa: N802
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        return self.clock

    def nvmlDeviceGetTemperature(self, handle, kind):  # noqa: N802
        return self.degrees

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):  # noqa: N802
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):  # noqa: N802
        return self.bits


class Limited(FakeNvml):
    def nvmlDeviceGetEnforcedPowerLimit(self, handle):  # noqa: N802
        return 1000 * self.limit


def test_ranges_over_the_looks_and_what_is_not_told():
    nvml = Limited()
    watch = GpuWatch("cuda", nvml=nvml, uuid="abc")
    watch.look()
    nvml.pids, nvml.clock, nvml.degrees, nvml.limit, nvml.bits = (
        [1, os.getpid(), 2],
        1200,
        61,
        250,
        0x41,
    )
    watch.look()
    assert watch.noise() == GpuNoise(
        other_processes=2,
        clock_mhz=(1200, 1400),
        temperature_c=(50, 61),
        power_limit_w=(250, 300),
        slowdowns=("hardware thermal slowdown",),
    )
    watch = GpuWatch("cuda", nvml=FakeNvml(), uuid="abc")
    watch.look()
    found = watch.noise()
    assert found is not None
    assert (found.power_limit_w, found.other_processes) == (None, 0)


def test_nothing_is_seen_on_a_cpu_or_without_a_look():
    watch = GpuWatch("cpu")
    watch.look()
    assert watch.noise() is None
    assert GpuWatch("cuda", nvml=Limited(), uuid="abc").noise() is None


QUIET = GpuNoise(
    other_processes=0, clock_mhz=(1400, 1410), temperature_c=(50, 55), power_limit_w=(300, 300)
)


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({}, "quiet", None),
        ({"other_processes": 2}, "noisy", "other processes on the GPU: 2"),
        ({"clock_mhz": (1000, 1400)}, "noisy", "the GPU's clock differed by 40%"),
        ({"clock_mhz": (600, 1400)}, "unusable", "the GPU's clock differed by 133%"),
        ({"temperature_c": (40, 60)}, "noisy", "the GPU warmed by 20 degrees"),
        ({"temperature_c": (40, 75)}, "unusable", "the GPU warmed by 35 degrees"),
        ({"power_limit_w": (250, 300)}, "noisy", "power limit changed between 250 and 300 W"),
        ({"slowdowns": ("power limit",)}, "noisy", "the GPU was slowed down: power limit"),
        ({"clock_mhz": None, "temperature_c": None, "other_processes": None}, "quiet", None),
    ],
)
def test_each_reason_of_a_gpu(change: dict, expected: str, reason: str | None):
    import msgspec

    found = verdict(BEFORE, AFTER, gpu=msgspec.structs.replace(QUIET, **change))
    assert found.verdict == expected
    assert len(found.reasons) == (reason is not None)
    if reason:
        assert reason in found.reasons[0]
    assert found.gpu is not None


def test_a_gpu_that_is_named_by_its_number_is_pytorchs_from_then_on(monkeypatch):
    """Events, waiting and the GPU's name are those of PyTorch's own: they were the first GPU's."""
    chosen: list[str] = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    for device in ("cpu", "cuda", "cuda:1"):
        tune_process(device=device)
    assert chosen == ["cuda:1"]


@pytest.fixture
def tf32() -> Iterator[Callable[[], tuple[bool, ...]]]:
    """Whether convolutions and products take it, from PyTorch's own start on."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    yield lambda: tuple(bool(flag.allow_tf32) for flag in flags)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def on(device: str) -> torch.nn.Module:
    """A net that says that it is there."""
    net = torch.nn.ReLU()
    net.parameters = lambda recurse=True: iter([SimpleNamespace(device=torch.device(device))])  # pyright: ignore
    return net


def test_float32_is_measured_in_float32_on_a_gpu(tf32):
    """PyTorch's convolutions there take TF32 unasked: what was called float32 was not."""
    *_, settings = in_precision(on("cpu"), "float32")
    assert ("tf32" in settings, tf32()) == (False, (True, True))
    *_, settings = in_precision(on("cuda:1"), "float32")
    assert (settings["tf32"], tf32()) == ("off", (False, False))


def test_so_is_the_yardstick(tf32):
    with suppress(AssertionError, RuntimeError):  # of a PyTorch without CUDA
        Yardstick("pytorch", "cuda")
    assert tf32() == (False, False)
