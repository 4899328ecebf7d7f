"""NVIDIA GPUs through NVML: the energy counter, and instant power polled beside it.

The counter (Volta and newer) is of the whole GPU, whoever uses it. `nvmlDeviceGetPowerUsage` is an
average over a second on Ampere and newer, so the field of instant power is read where there is one.
On A100 and H100 the power sensor looks at only a quarter of the time (arXiv 2312.02741), hence
long windows, and both meters, whose ratio is kept.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.power import PolledMeter
from lightfer.measure.energy.protocol import MeterError


def nvml_meters(uuid: str | None = None, *, nvml: Any = None) -> list[CounterMeter | PolledMeter]:
    """The meters of one GPU, the counter first; `uuid` as torch gives it, or None for the first.

    Raises MeterError if there is no NVIDIA driver, no such GPU, or it is split up (MIG), when all
    figures would be of the whole card.
    """
    nvml, handle = open_gpu(uuid, nvml=nvml)
    if _mig(nvml, handle):
        raise MeterError("NVML: the GPU is split up (MIG), and its counters are of the whole card")
    meters: list[CounterMeter | PolledMeter] = []
    with suppress(MeterError):
        count = _reader(nvml, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
        count()
        meters.append(CounterMeter("gpu", "NVML energy counter", lambda: [count()], [None]))
    for name, read in (
        ("NVML instant power", lambda: _instant_w(nvml, handle)),
        ("NVML power", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3),
    ):
        with suppress(MeterError):
            watts = _reader(nvml, read)
            watts()
            meters.append(PolledMeter("gpu", name, watts))
            break
    if not meters:
        raise MeterError("NVML: this GPU tells neither energy nor power")
    return meters


def open_gpu(uuid: str | None = None, *, nvml: Any = None) -> tuple[Any, Any]:
    """NVML, initialised, and the handle of a GPU. Raises MeterError without either."""
    if nvml is None:
        try:
            import pynvml as nvml
        except ImportError as error:
            message = 'NVML: the package nvidia-ml-py is not there: pip install "lightfer[energy]"'
            raise MeterError(message) from error
    try:
        nvml.nvmlInit()
        if uuid is None:
            return nvml, nvml.nvmlDeviceGetHandleByIndex(0)
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        return nvml, nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError as error:
        raise MeterError(f"NVML: {error}") from error


def torch_uuid(device: str) -> str | None:
    """The UUID of a CUDA device of torch, whatever CUDA_VISIBLE_DEVICES hides."""
    if not device.startswith("cuda"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else str(uuid)


def _reader(nvml: Any, read: Callable[[], float]) -> Callable[[], float]:
    """`read` with NVML's errors as MeterError."""

    def reading() -> float:
        try:
            return read()
        except nvml.NVMLError as error:
            raise MeterError(f"NVML: {error}") from error

    return reading


def _instant_w(nvml: Any, handle: Any) -> float:
    (field,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
    if field.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(field.nvmlReturn)
    return field.value.uiVal / 1e3


def _mig(nvml: Any, handle: Any) -> bool:
    try:
        return nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:
        return False  # a GPU that cannot be split
