"""Energy where no meter can be read: a model of the processor, marked `modelled`.

The model: each busy thread draws a constant power, so energy is that power times threads times
measured time. Its result is proportional to time and says nothing that time does not. CodeCarbon's
model of a process is the same with rated power / threads of the processor, and its table of rated
powers is used where it is installed and knows the processor. In a virtual machine it is not: the
rated power is that of a processor of which the machine has only some threads.
"""

import logging
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lightfer.results import (
    Component,
    Energy,
    EnergyComponent,
    EnergyComponents,
    EnergyTotal,
    Method,
)

WATTS_PER_THREAD = 4.0
"""Of a processor that is not known: the value that CodeCarbon 3.3.2 takes for it. An assumption,
not a measurement: rated power over threads is 2 to 4 W for servers and laptops, 8 for desktops."""

TEST_IMAGES = 3589
"""Images of the FER2013 test set, for which `kwh_test_set` is given."""

NO_METER = "no meter that can be read here"


@dataclass(frozen=True)
class CpuModel:
    """Power of one busy thread, and where the figure is from."""

    watts_per_thread: float = WATTS_PER_THREAD
    source: str = "assumed: CodeCarbon's value for an unknown processor"


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> CpuModel:
    """CodeCarbon's figure for this processor if that package is there and knows it."""
    text = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    if " hypervisor" in text:
        return CpuModel()
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    try:
        from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE, TDP
    except ImportError:
        return CpuModel()
    found, threads = TDP(), os.cpu_count() or 1
    if not found.tdp or found.tdp == DEFAULT_POWER_PER_CORE * threads:  # its own fallback
        return CpuModel()
    source = f"CodeCarbon {version('codecarbon')}: {found.tdp} W rated for {found.model}"
    return CpuModel(found.tdp / threads, f"{source}, over {threads} threads")


def model_cpu_energy(
    seconds_per_image: float | None,
    threads: int,
    watts_per_thread: float = WATTS_PER_THREAD,
    *,
    source: str | None = None,
    batch_size: int | None = None,
) -> Energy:
    """Energy of a CPU run from its time; every figure is None if the time is."""
    joules = None if seconds_per_image is None else seconds_per_image * threads * watts_per_thread
    cpu = EnergyComponent(
        joules_per_image=joules,
        method="modelled",
        source="time x threads x power of a busy thread",
        reason="no time was measured" if joules is None else None,
    )
    inputs: dict[str, float | str] = {"watts_per_thread": watts_per_thread, "threads": threads}
    if source is not None:
        inputs["watts_per_thread_source"] = source
    return Energy(
        components=EnergyComponents(gpu=absent(), cpu=cpu, dram=absent()),
        gross=EnergyTotal(joules_per_image=joules, includes=("cpu",)),
        net=None,
        kwh_test_set=kwh_of_test_set(joules),
        ci95=None,
        model=inputs,
        batch_size=batch_size,
    )


def unmeasured_energy(reasons: dict[Component, str] | None = None) -> Energy:
    """No meter and no model: everything unknown, with the reasons where they are known."""
    why = reasons or {}
    parts = {name: absent(why.get(name, NO_METER)) for name in ("gpu", "cpu", "dram")}
    return Energy(
        components=EnergyComponents(**parts), gross=None, net=None, kwh_test_set=None, ci95=None
    )


def absent(
    reason: str = NO_METER, method: Method = "absent", source: str | None = None
) -> EnergyComponent:
    """A component without a figure."""
    return EnergyComponent(joules_per_image=None, method=method, source=source, reason=reason)


def kwh_of_test_set(joules_per_image: float | None) -> float | None:
    """Energy of classifying the FER2013 test set once."""
    return None if joules_per_image is None else joules_per_image * TEST_IMAGES / 3.6e6
