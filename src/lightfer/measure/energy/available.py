"""Which meters can be read on this machine, and why the others cannot."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lightfer.measure.energy.log import PowerLog
from lightfer.measure.energy.nvml import nvml_meters, torch_uuid
from lightfer.measure.energy.protocol import Meter, MeterError
from lightfer.measure.energy.rapl import rapl_meters
from lightfer.measure.energy.zeus import amd_index, zeus_meters
from lightfer.results import Component


def open_meters(
    device: str = "cpu", power_log: Path | None = None, clock_offset_s: float = 0.0
) -> tuple[list[Meter], dict[Component, str]]:
    """The meters for a run on `device`, in order of preference, and why a component has none.

    A power log that was asked for comes first; then the GPU's own meters if the run is on it, then
    the processor's, and Zeus for what is still without. Raises MeterError for a power log that is
    none, or of a device that does not do the work; every other meter may be absent.
    """
    on_gpu = device.startswith("cuda")
    meters: list[Meter] = []
    reasons: dict[Component, str] = {}
    if device == "cpu":
        reasons["gpu"] = f"not looked for: the run is on {device}"
    if power_log is not None:
        meters.append(PowerLog(power_log, clock_offset_s))
        if not on_gpu:
            raise MeterError(
                f"{power_log} is a power log of a GPU, but the run is on {device}: "
                "expected a run on cuda; leave out the log or choose the GPU"
            )
    amd_gpu = amd_index(device)
    if on_gpu and amd_gpu is None:
        uuid = torch_uuid(device)
        _add(meters, reasons, ("gpu",), lambda: nvml_meters(uuid))
    _add(meters, reasons, ("cpu", "dram"), rapl_meters)
    without: list[Component] = [
        name for name in (("gpu", "cpu") if device != "cpu" else ("cpu",)) if not _has(meters, name)
    ]
    if without:
        _add(meters, reasons, without, lambda: zeus_meters(amd_gpu))
    if _has(meters, "cpu") and not _has(meters, "dram"):
        reasons.setdefault("dram", "this processor has no counter of its memory")
    return meters, {name: why for name, why in reasons.items() if not _has(meters, name)}


def _add(
    meters: list[Meter],
    reasons: dict[Component, str],
    names: Sequence[Component],
    find: Callable[[], Sequence[Meter]],
) -> None:
    """Add what is found of the components named, or the reason to each of them."""
    try:
        meters += [meter for meter in find() if meter.component in (*names, "dram")]
    except MeterError as error:
        for name in names:
            reasons.setdefault(name, str(error))


def _has(meters: Sequence[Meter], name: Component) -> bool:
    return any(meter.component == name for meter in meters)
