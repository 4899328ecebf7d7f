"""RAPL: energy counters of Intel and AMD processors, in Linux's powercap folder.

Zones nest, psys > package > core and uncore, so only packages are added up, with DRAM apart;
`intel-rapl-mmio` repeats what `intel-rapl` says. Some processors with several dies repeat one
counter per die: a zone that stands between two readings of another one is counted once. In a
virtual machine there is none. Since CVE-2020-8694 only root may read them.
"""

from dataclasses import dataclass
from pathlib import Path

from lightfer.measure.energy.counter import CounterMeter
from lightfer.measure.energy.protocol import MeterError
from lightfer.results import Component

POWERCAP = Path("/sys/class/powercap")
HOW_TO_PERMIT = (
    "only root may read it since CVE-2020-8694; until the next start of the machine, "
    "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj "
    "/sys/class/powercap/intel-rapl:*:*/energy_uj` permits it to everybody"
)


@dataclass(frozen=True)
class _Zone:
    path: Path
    name: str
    wrap_j: float | None

    def read_j(self) -> float:
        path = self.path / "energy_uj"
        try:
            return int(path.read_text()) / 1e6
        except PermissionError as error:
            raise MeterError(f"RAPL {self.name}: {HOW_TO_PERMIT}") from error
        except (OSError, ValueError) as error:
            raise MeterError(f"RAPL {self.name}: {path} cannot be read: {error}") from error


def rapl_meters(powercap: Path = POWERCAP) -> list[CounterMeter]:
    """A meter of all packages and, where there are such counters, one of their DRAM.

    Raises MeterError if there is no counter or it may not be read.
    """
    top = [z for z in _zones(powercap, "intel-rapl:[0-9]*") if z.path.name.count(":") == 1]
    packages = [zone for zone in top if zone.name.startswith("package")]
    if not packages:
        raise MeterError(f"no RAPL counter in {powercap}: a virtual machine, or not Linux on x86")
    memories = [
        zone
        for package in packages
        for zone in _zones(powercap, f"{package.path.name}:*")
        if zone.name == "dram"
    ]
    meters = [_meter("cpu", packages)]
    if memories:
        meters.append(_meter("dram", memories))
    return meters


def _meter(component: Component, zones: list[_Zone]) -> CounterMeter:
    zones = _distinct(zones)
    names = ", ".join(dict.fromkeys(zone.name for zone in zones))
    return CounterMeter(
        component,
        f"RAPL {names}" + (f" x {len(zones)}" if len(zones) > 1 else ""),
        lambda: [zone.read_j() for zone in zones],
        [zone.wrap_j for zone in zones],
    )


def _zones(powercap: Path, pattern: str) -> list[_Zone]:
    found = []
    for path in sorted(powercap.glob(pattern)):
        try:
            name = (path / "name").read_text().strip()
        except OSError:
            continue
        try:
            wrap_j = int((path / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            wrap_j = None
        found.append(_Zone(path, name, wrap_j))
    return found


def _distinct(zones: list[_Zone]) -> list[_Zone]:
    kept: list[_Zone] = []
    for zone in zones:
        before = [other.read_j() for other in kept]
        count = zone.read_j()
        after = [other.read_j() for other in kept]
        slack = 1e-6 * count
        if not count or not any(
            low - slack <= count <= high + slack for low, high in zip(before, after, strict=True)
        ):
            kept.append(zone)
    return kept
