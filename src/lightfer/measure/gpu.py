"""What an NVIDIA GPU does while it is measured: other processes, clocks, limit, temperature."""

import os
from contextlib import suppress
from typing import Any

from lightfer.measure.energy.nvml import open_gpu, torch_uuid
from lightfer.measure.energy.protocol import MeterError
from lightfer.results import GpuNoise

SLOWDOWNS = {  # bits of NVML's reasons for lower clocks, those that a busy GPU should not show
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}


class GpuWatch:
    """Looks at the GPU whenever it is told to, best just after work; None is what it is not told.

    On another device, without a driver or without `nvidia-ml-py`, it sees nothing.
    """

    def __init__(self, device: str, *, nvml: Any = None, uuid: str | None = None) -> None:
        self._gpu: tuple[Any, Any] | None = None
        self._seen: list[dict[str, Any]] = []
        if device.startswith("cuda"):
            with suppress(MeterError):
                self._gpu = open_gpu(uuid or torch_uuid(device), nvml=nvml)

    def look(self) -> None:
        """Note the state of this moment."""
        if self._gpu is None:
            return
        nvml, handle = self._gpu

        def ask(function: str, *arguments: Any) -> Any:
            try:
                return getattr(nvml, function)(handle, *arguments)
            except nvml.NVMLError:
                return None

        processes = ask("nvmlDeviceGetComputeRunningProcesses")
        limit_mw = ask("nvmlDeviceGetEnforcedPowerLimit")
        self._seen.append(
            {
                "processes": processes and [p.pid for p in processes if p.pid != os.getpid()],
                "clock_mhz": ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
                "temperature_c": ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
                "power_limit_w": None if limit_mw is None else limit_mw / 1e3,
                "slowdowns": ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0,
            }
        )

    def noise(self) -> GpuNoise | None:
        """Everything that was seen; None if nothing was."""
        if not self._seen:
            return None
        processes = [seen["processes"] for seen in self._seen if seen["processes"] is not None]
        bits = 0
        for seen in self._seen:
            bits |= seen["slowdowns"]
        return GpuNoise(
            other_processes=max((len(pids) for pids in processes), default=None),
            clock_mhz=self._range("clock_mhz"),
            temperature_c=self._range("temperature_c"),
            power_limit_w=self._range("power_limit_w"),
            slowdowns=tuple(text for bit, text in SLOWDOWNS.items() if bits & bit),
        )

    def _range(self, name: str) -> tuple[Any, Any] | None:
        values = [seen[name] for seen in self._seen if seen[name] is not None]
        return (min(values), max(values)) if values else None
