"""Many devices beside one another: the spread of each net over them, and whether rankings hold.

A device is a machine in one runtime and precision, in however many runs it timed its nets; with
other software it is another one. Devices are compared on the nets that all of them timed, each by
its time of one image as tables and page quote it.
"""

import re
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from lightfer.results import Entry, Environment, Results
from lightfer.results.select import Times
from lightfer.results.stats import Interval, concordance

FEWEST = 3  # devices, and nets that all of them timed


@dataclass(frozen=True)
class Spread:
    """One net over devices, seconds of one image."""

    model: str
    fastest_s: float
    tenth_s: float
    median_s: float
    ninetieth_s: float
    slowest_s: float


@dataclass(frozen=True)
class Device:
    """One device: its nets from the fastest to the slowest."""

    name: str
    key: str
    noise: str
    ranking: tuple[str, ...]
    times_s: tuple[float, ...]  # in the order of the ranking


@dataclass(frozen=True)
class Fleet:
    """The devices of one runtime and precision."""

    way: str
    spreads: tuple[Spread, ...]  # the fastest net first
    devices: tuple[Device, ...]  # the fastest first, by the geometric mean of its nets
    agreement: Interval | None  # Kendall's W of their rankings, if each ranks them


def fleets(results: Results, times: Times | None = None) -> list[Fleet]:
    """Of each runtime and precision that at least three devices timed; what failed is left out."""
    groups: dict[tuple[str, str, str], dict[str, dict[str, list[float]]]] = {}
    last: dict[str, Environment] = {}
    times = times or Times(results)
    for entry in results.entries:
        if entry.error is None and (time := times.at(entry)):
            way, key = (entry.device, entry.runtime, entry.precision), _machine(entry)
            nets = groups.setdefault(way, {}).setdefault(key, {})
            nets.setdefault(entry.model, []).append(time.estimate_s)
            about = results.environments.get(entry.environment)
            if about and (key not in last or about.started > last[key].started):
                last[key] = about
    return [
        _fleet(" ".join(way[1:]), devices, last)
        for way, devices in groups.items()
        if len(devices) >= FEWEST
    ]


def _machine(entry: Entry) -> str:
    """The machine that an entry's id begins with, if its run is named after that, as `bench` and
    the site do; else each run is a machine.
    """
    machine, run = entry.id.partition("/")[0], entry.environment
    return machine if re.fullmatch(re.escape(machine) + "-[0-9a-f]{6}", run) else run


def _fleet(
    way: str, devices: dict[str, dict[str, list[float]]], last: dict[str, Environment]
) -> Fleet:
    """Of several trainings of a net the mean; `last` is what each device was in its last run."""
    times = {k: {m: fmean(s) for m, s in nets.items()} for k, nets in devices.items()}
    shared = sorted(set.intersection(*(set(nets) for nets in times.values())))
    table = np.array([[nets[model] for model in shared] for nets in times.values()])
    table = table.reshape(len(times), len(shared))
    order = np.exp(np.log(table).mean(axis=1)).argsort() if shared else range(len(times))
    keys, told = list(times), len(shared) >= FEWEST and bool(np.ptp(table, axis=1).all())
    return Fleet(
        way=way,
        spreads=_spreads(times),
        devices=tuple(_device(keys[i], times[keys[i]], last.get(keys[i])) for i in order),
        agreement=concordance(table) if told else None,
    )


def _spreads(times: dict[str, dict[str, float]]) -> tuple[Spread, ...]:
    by_model: dict[str, list[float]] = {}
    for nets in times.values():
        for model, seconds in nets.items():
            by_model.setdefault(model, []).append(seconds)
    quantiles = (0.0, 0.1, 0.5, 0.9, 1.0)
    found = [Spread(m, *map(float, np.quantile(v, quantiles))) for m, v in by_model.items()]
    return tuple(sorted(found, key=lambda spread: spread.median_s))


def _device(key: str, nets: dict[str, float], about: Environment | None) -> Device:
    ranking = sorted(nets, key=lambda model: nets[model])
    return Device(
        name=about.name if about else key,
        key=key,
        noise=about.noise.verdict if about and about.noise else "unknown",
        ranking=tuple(ranking),
        times_s=tuple(nets[model] for model in ranking),
    )
