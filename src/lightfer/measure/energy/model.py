"""Energy where no meter can be read: a model of the processor, marked `modelled`.

The model: each busy thread draws a constant power, so energy is that power times threads times
measured time. Its result is proportional to time and says nothing that time does not. CodeCarbon's
model of a process is the same with rated power / threads of the processor, and its table of rated
powers is used where it is installed and knows the processor, times the processors of the machine.
In a virtual machine it is not: the rated power is that of a processor of which the machine has only
some threads.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lightfer.measure.codecarbon_data import codecarbon_version, rated_watts
from lightfer.results import (
    TEST_IMAGES,
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

NO_METER = "no meter that can be read here"


@dataclass(frozen=True)
class CpuModel:
    """Power of one busy thread, and where the figure is from."""

    watts_per_thread: float = WATTS_PER_THREAD
    source: str = "assumed: CodeCarbon's value for an unknown processor"


ASSUMED = CpuModel()


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> CpuModel:
    """From CodeCarbon's rated power of this processor if its table is there and names it."""
    text = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    if " hypervisor" in text or not named:
        return ASSUMED
    table = {_plain(name): watts for name, watts in rated_watts().items()}
    watts = table.get(_plain(named[1]))
    if watts is None:
        return ASSUMED
    processors = len(set(re.findall(r"^physical id\s*:\s*(\d+)", text, re.M))) or 1
    each_has = max(map(int, re.findall(r"^siblings\s*:\s*(\d+)", text, re.M)), default=0)
    threads = max(os.cpu_count() or 1, processors * each_has)  # a container may show a part of them
    source = f"CodeCarbon {codecarbon_version()}: {watts:g} W rated for {named[1].strip()}"
    each = f" x {processors}" if processors > 1 else ""
    return CpuModel(processors * watts / threads, f"{source}{each}, over {threads} threads")


def _plain(name: str) -> str:
    """A processor's name without what vendors put around it."""
    name = re.sub(
        r"\((R|TM)\)|@.*|\bCPU\b|\d+-Core.*|\bProcessor\b|\bwith\b.*", " ", name, flags=re.I
    )
    return " ".join(name.lower().split())


def model_cpu_energy(
    seconds_per_image: float | None,
    threads: int,
    power: CpuModel = ASSUMED,
    *,
    batch_size: int | None = None,
) -> Energy:
    """Energy of a CPU run from its time; every figure is None if the time is."""
    joules = None
    if seconds_per_image is not None:
        joules = seconds_per_image * threads * power.watts_per_thread
    cpu = EnergyComponent(
        joules_per_image=joules,
        method="modelled",
        source="time x threads x power of a busy thread",
        reason="no time was measured" if joules is None else None,
    )
    return Energy(
        components=EnergyComponents(gpu=absent(), cpu=cpu, dram=absent()),
        gross=EnergyTotal(joules_per_image=joules, includes=("cpu",)),
        net=None,
        kwh_test_set=kwh_of_test_set(joules),
        ci95=None,
        model={
            "watts_per_thread": power.watts_per_thread,
            "watts_per_thread_source": power.source,
            "threads": threads,
        },
        batch_size=batch_size,
    )


def modelled_instead(unmeasured: Energy, modelled: Energy) -> Energy:
    """The modelled energy where meters were asked and did not tell; what they said is kept."""
    parts = unmeasured.components
    cpu = msgspec.structs.replace(modelled.components.cpu, reason=parts.cpu.reason)
    return msgspec.structs.replace(
        modelled,
        components=msgspec.structs.replace(parts, cpu=cpu),
        blocks=unmeasured.blocks,
        clock_offset_s=unmeasured.clock_offset_s,
        simulated=unmeasured.simulated,
    )


def unmeasured_energy(reasons: Mapping[Component, str] | None = None) -> Energy:
    """No meter and no model: everything unknown; without `reasons` none was asked for."""
    why = reasons or {}
    parts = {name: absent(why.get(name)) for name in ("gpu", "cpu", "dram")}
    return Energy(
        components=EnergyComponents(**parts), gross=None, net=None, kwh_test_set=None, ci95=None
    )


def absent(
    reason: str | None = None, method: Method = "absent", source: str | None = None
) -> EnergyComponent:
    """A component without a figure."""
    return EnergyComponent(joules_per_image=None, method=method, source=source, reason=reason)


def kwh_of_test_set(joules_per_image: float | None) -> float | None:
    """Energy of classifying the FER2013 test set once."""
    return None if joules_per_image is None else joules_per_image * TEST_IMAGES / 3.6e6
