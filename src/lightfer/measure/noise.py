"""Whether a machine was left alone while it measured.

Read:       load average, CPU time of all and of this process with the children it has waited for,
            steal time, thermal throttling events, frequency governor; from /proc and /sys, so on
            Linux only. Elsewhere, and where a virtual machine hides them, they are None, and the
            verdict rests on what is left, in the end on the spread between rounds.
            On an NVIDIA GPU: other processes on it, clocks, power limit, temperature, and why its
            driver slowed it down.
Not read:   memory bandwidth and caches that neighbours use, which no counter shows and the spread
            between rounds may.
Verdict:    the worst of the limits below. They are conventions, not physics.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from time import monotonic

from msgspec import Struct

from lightfer.results import VERDICTS, GpuNoise, Noise

# From these on a machine is noisy, and unusable.
OTHER_CPU_SHARE = (0.05, 0.25)
STEAL_SHARE = (0.02, 0.10)
ROUND_SPREAD = (0.10, 0.35)
GPU_CLOCK_SPREAD = (0.15, 0.50)
GPU_WARMING_C = (15.0, 30.0)  # between the coolest and the warmest moment under load
YARDSTICK_SPREAD = (0.10, float("inf"))  # what is compared is relative to it, so never unusable
# Governors that hold the frequency down. Under intel_pstate and amd-pstate "powersave" does not.
SLOW_GOVERNORS = ("powersave", "conservative")


@dataclass(frozen=True)
class Snapshot:
    """Counters of the machine at one moment; CPU times are sums over all cores, in seconds."""

    time_s: float  # of a monotonic clock
    cores: int
    busy_s: float | None = None  # of all processes of this system
    steal_s: float | None = None
    own_s: float | None = None  # of this process and the children that it has waited for
    load: float | None = None
    governor: str | None = None
    driver: str | None = None  # of CPU frequencies
    throttle_events: int | None = None


def snapshot(root: Path = Path("/")) -> Snapshot:
    """Read the counters now; what cannot be read is None."""
    cpu = root / "sys/devices/system/cpu"
    stat = _text(root / "proc/stat") or ""
    times = re.match(r"cpu +([\d ]+)", stat)
    busy = steal = None
    if times:
        # user nice system idle iowait irq softirq steal guest guest_nice, guest being in user
        ticks = [int(t) / os.sysconf("SC_CLK_TCK") for t in times[1].split()]
        busy = sum(ticks[:3]) + sum(ticks[5:7])
        steal = ticks[7] if len(ticks) > 7 else None
    load = _text(root / "proc/loadavg")
    events = [
        _text(path) for path in sorted(cpu.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    ]
    own = os.times()
    return Snapshot(
        time_s=monotonic(),
        cores=len(re.findall(r"^cpu\d", stat, re.M)) or os.cpu_count() or 1,
        busy_s=busy,
        steal_s=steal,
        own_s=sum(own[:4]),
        load=float(load.split()[0]) if load else None,
        governor=_text(cpu / "cpu0/cpufreq/scaling_governor"),
        driver=_text(cpu / "cpu0/cpufreq/scaling_driver"),
        throttle_events=sum(int(e) for e in events if e) if any(events) else None,
    )


class Watched(Struct, frozen=True, kw_only=True):
    """What the machine did between two snapshots; seconds of CPU are of all cores."""

    seconds: float
    busy_s: float | None
    steal_s: float | None
    own_s: float | None
    throttle_events: float | None


def watch(before: Snapshot, after: Snapshot) -> Watched:
    """The differences; None where it is not told."""
    names = ("busy_s", "steal_s", "own_s", "throttle_events")
    told = {n: _difference(getattr(before, n), getattr(after, n)) for n in names}
    return Watched(seconds=after.time_s - before.time_s, **told)


def advanced(before: Snapshot, now: Snapshot, parts: Sequence[Watched]) -> Snapshot:
    """`before`, and what happened in `parts` alone: for the verdict on these."""
    counters: dict[str, float | None] = {
        "time_s": before.time_s + sum(part.seconds for part in parts)
    }
    for name in ("busy_s", "steal_s", "own_s", "throttle_events"):
        first, values = getattr(before, name), [getattr(part, name) for part in parts]
        counters[name] = None if first is None or None in values else first + sum(values)
    return replace(now, **counters)  # pyright: ignore[reportArgumentType]


def verdict(
    before: Snapshot,
    after: Snapshot,
    rounds: Sequence[Sequence[Sequence[float]]] = (),
    yardsticks: Sequence[Sequence[float]] = (),
    gpu: GpuNoise | None = None,
) -> Noise:
    """Judge what happened between two snapshots.

    `rounds[i][j]` are the seconds of the passes of round j of the i-th thing that was timed,
    `yardsticks[i][j]` those of the yardstick beside it. With yardsticks the spread of the rounds is
    that relative to them, and the spread of the yardsticks, over the whole run, stands for itself.
    `gpu` is what was seen of the GPU in the meantime, if the run was on one.
    """
    told = watch(before, after)
    capacity, throttled = told.seconds * after.cores, told.throttle_events
    other = steal = None
    if capacity > 0 and told.busy_s is not None and told.own_s is not None:
        other = max(0.0, told.busy_s - told.own_s) / capacity
    if capacity > 0 and told.steal_s is not None:
        steal = told.steal_s / capacity
    spread = round_spread(rounds, yardsticks)
    every = sorted(y for beside in yardsticks for y in beside)
    tenth, changes = len(every) // 10, None
    if len(every) > 1:  # how much slower the slowest tenth is than the fastest tenth
        changes = every[-1 - tenth] / every[tenth] - 1

    findings = [
        _judge(other, OTHER_CPU_SHARE, "other processes took {:.0%} of the CPU time"),
        _judge(steal, STEAL_SHARE, "other virtual machines took {:.0%} of the CPU time"),
        _judge(spread, ROUND_SPREAD, "rounds differ by {:.0%}"),
        _judge(changes, YARDSTICK_SPREAD, "the machine's own speed changed by {:.0%}"),
    ]
    if throttled:
        findings.append((1, f"{throttled:.0f} thermal throttling events"))
    if after.governor in SLOW_GOVERNORS and "pstate" not in (after.driver or ""):
        findings.append((1, f"the frequency governor is {after.governor}"))
    findings += _gpu_findings(gpu)
    return Noise(
        verdict=VERDICTS[max(level for level, _ in findings)],
        reasons=tuple(text for level, text in findings if level),
        seconds=told.seconds,
        load_before=before.load,
        load_after=after.load,
        other_cpu_share=other,
        steal_share=steal,
        governor=after.governor,
        throttle_events=None if throttled is None else int(throttled),
        round_spread=spread,
        yardstick_spread=changes,
        gpu=gpu,
    )


def _gpu_findings(gpu: GpuNoise | None) -> list[tuple[int, str]]:
    """As `_judge`, one for each thing that a GPU did."""
    if gpu is None:
        return []
    found = []
    if gpu.other_processes:
        found.append((1, f"other processes on the GPU: {gpu.other_processes}"))
    if gpu.clock_mhz:
        low, high = gpu.clock_mhz
        spread = high / low - 1 if low else None
        found.append(_judge(spread, GPU_CLOCK_SPREAD, "the GPU's clock differed by {:.0%}"))
    if gpu.temperature_c:
        low, high = gpu.temperature_c
        found.append(_judge(high - low, GPU_WARMING_C, "the GPU warmed by {:.0f} degrees"))
    if gpu.power_limit_w and gpu.power_limit_w[0] != gpu.power_limit_w[1]:
        low, high = gpu.power_limit_w
        found.append((1, f"the GPU's power limit changed between {low:g} and {high:g} W"))
    if gpu.slowdowns:
        found.append((1, f"the GPU was slowed down: {', '.join(gpu.slowdowns)}"))
    return found


def round_spread(
    rounds: Sequence[Sequence[Sequence[float]]], yardsticks: Sequence[Sequence[float]] = ()
) -> float | None:
    """(slowest - fastest) / fastest round by their lower quartiles, median over what was timed.

    Of a majority of the rounds, 2 of 3, 3 of 5, as `stats.compare_runs` takes it: the fastest, or,
    relative to `yardsticks[i][j]`, the closest, as a yardstick's bad moment makes a round seem
    fast. None without anything timed in two rounds.
    """
    spreads = []
    for i, visits in enumerate(rounds):
        beside = yardsticks[i] if yardsticks else [1.0] * len(visits)
        times = sorted(
            _lower_quartile(passes) / by
            for passes, by in zip(visits, beside, strict=True)
            if len(passes) > 0
        )
        if len(times) > 1 and times[0] > 0:
            half = len(times) // 2
            starts = range(len(times) - half) if yardsticks else range(1)
            spreads.append(min(times[i + half] / times[i] for i in starts) - 1)
    return median(spreads) if spreads else None


def _lower_quartile(values: Sequence[float]) -> float:
    return quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def _judge(value: float | None, limits: tuple[float, float], text: str) -> tuple[int, str]:
    """The index in VERDICTS and the reason."""
    if value is None:
        return 0, ""
    return sum(value >= limit for limit in limits), text.format(value)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
