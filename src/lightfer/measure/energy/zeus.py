"""Zeus as a meter of what has no reader here: AMD GPUs, Apple silicon, Jetson (`lightfer[zeus]`).

Apple's figures come from the chip's own model, says Zeus; Jetson's are power that Zeus polls.
"""

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.protocol import MeterError
from lightfer.results import Component, Method

FIELDS: dict[Component, tuple[str, ...]] = {  # of Zeus's measurement of a chip, in millijoules
    "gpu": ("gpu_mj", "gpu_energy_mj"),
    "cpu": ("cpu_total_mj", "cpu_energy_mj"),
    "dram": ("dram_mj",),
}


def amd_index(device: str) -> int | None:
    """The index of an AMD GPU that torch calls `device`, as torch and Zeus count; None if it is
    not one.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    if torch.version.hip is None:
        return None
    index = torch.device(device).index
    return torch.cuda.current_device() if index is None else index


def zeus_meters(amd_gpu: int | None = None) -> list[CounterMeter]:
    """Meters of a chip or, without one that Zeus knows, of the AMD GPU of this index.

    Other GPUs it is not asked about: of NVIDIA's it reads NVML, too, without refusing what
    `nvml_meters` refuses. Raises MeterError if Zeus is not installed or knows nothing here.
    """
    try:
        from zeus.device import get_gpus, get_soc
        from zeus.device.exception import ZeusBaseGPUError, ZeusBaseSoCError
        from zeus.device.gpu import AMDGPUs
    except ImportError as error:
        raise MeterError('Zeus is not there: pip install "lightfer[zeus]"') from error
    with suppress(ZeusBaseSoCError):
        return meters_of_chip(get_soc())
    if amd_gpu is None:
        raise MeterError("Zeus: no chip that it knows")
    try:
        gpus = get_gpus()
    except ZeusBaseGPUError as error:
        raise MeterError(f"Zeus: {error}") from error
    if not isinstance(gpus, AMDGPUs):
        raise MeterError("Zeus: found NVIDIA GPUs, expected AMD's, as the run is on one")
    return [meter_of_gpu(gpus, amd_gpu)]


def meters_of_chip(chip: Any) -> list[CounterMeter]:
    """A meter per component that a system on a chip tells. Raises MeterError without any."""
    now = chip.get_total_energy_consumption()
    method: Method = "polled" if hasattr(now, "total_energy_mj") else "counter"
    meters = []
    for component, names in FIELDS.items():
        name = next((n for n in names if getattr(now, n, None) is not None), None)
        if name is not None:
            meters.append(_meter(component, method, _reader(chip, name), name))
    if not meters:
        raise MeterError("Zeus: the chip tells no energy")
    return meters


def meter_of_gpu(gpus: Any, index: int) -> CounterMeter:
    """The counter of one GPU. Raises MeterError if it has none."""
    if index >= len(gpus) or not gpus.supports_get_total_energy_consumption(index):
        raise MeterError(f"Zeus: no GPU {index} with an energy counter")
    return _meter(
        "gpu", "counter", lambda: gpus.get_total_energy_consumption(index) / 1e3, f"GPU {index}"
    )


def _reader(chip: Any, name: str) -> Callable[[], float]:
    return lambda: getattr(chip.get_total_energy_consumption(), name) / 1e3


def _meter(
    component: Component, method: Method, read_j: Callable[[], float], name: str
) -> CounterMeter:
    def read() -> list[float]:
        try:
            return [read_j()]
        except Exception as error:  # whatever Zeus and the libraries below it raise
            raise MeterError(f"Zeus: {name}: {error}") from error

    return CounterMeter(
        component,
        f"Zeus {version('zeus')} {name}",
        read,
        [None],
        method=method,
    )
