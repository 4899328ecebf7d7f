"""Which entries of two results files are the same net measured alike, and what keeps them apart.

Entries are matched by weights, device, runtime and precision, then by model. Whose times come from
another machine, another protocol or another yardstick is not compared, and the reason is said.
"""

import re
from collections.abc import Iterable
from operator import attrgetter, itemgetter
from typing import Any

from lightfer.results import Entry, Environment, Results
from lightfer.results.select import Time, yardstick_runtime

SAME_MEMORY = 0.97  # another kernel of one machine keeps a little more or less to itself
HIDDEN = "unknown processor"  # so begins what a browser's file calls a device without a name
OF_ONE_NET = ("int8_convolutions", "opened")  # of a runtime's settings
OF_ONE_RUN = ("timer_step_us", "passes_per_sample", "blocks_thrown_away")  # of a browser's settings


Match = tuple[Entry, Entry, list[str], list[str]]


def match(a: Results, b: Results, *, anyway: bool = False) -> list[Match]:
    """Each entry of `a` with its own of `b`, and why their times cannot be compared, if so; then
    why not even accuracies can: several of other weights fit, and the one given is any of them.

    First those of the same weights in the same runtime and precision: several trainings of one net
    are compared each with itself. Then what is left of each model. Of all pairs the closest are
    taken first. An entry that finds none is in neither.
    """
    known: dict[tuple, list[str]] = {}

    def mismatches(entry: Entry, other: Entry) -> list[str]:
        key = (_measured_as(entry), _measured_as(other))
        if key not in known:
            known[key] = _mismatches(entry, a, other, b, anyway)
        return known[key]

    def distance(entry: Entry, other: Entry) -> tuple[int, bool, bool, bool]:
        """What keeps them apart, at last whether they are of two nodes of a fleet, or two runs."""
        ours, theirs = a.environments.get(entry.environment), b.environments.get(other.environment)
        elsewhere = bool(ours and theirs and ours.node != theirs.node)
        retrained = (entry.recipe, entry.seed) != (other.recipe, other.seed)
        return len(mismatches(entry, other)), retrained, elsewhere, entry.id != other.id

    by_id = {e.id: e for e in b.entries}
    found: dict[str, Match] = {}
    taken: set[str] = set()
    same_weights = attrgetter("model", "device", "runtime", "precision", "weights")
    for alike in (same_weights, attrgetter("model")):
        groups: dict[Any, list[Entry]] = {}
        for e in b.entries:
            groups.setdefault(alike(e), []).append(e)
        left: list[tuple[tuple, Entry, list[Entry]]] = []
        for entry in a.entries:
            others = groups.get(alike(entry), []) if entry.id not in found else []
            twin = by_id.get(entry.id)
            if others and twin and alike(twin) == alike(entry) and not mismatches(entry, twin):
                others = [twin]  # of itself, which is closest: thousands have thousands of pairs
            by_distance: dict[tuple, list[Entry]] = {}
            for other in others:
                by_distance.setdefault(distance(entry, other), []).append(other)
            left += [(far, entry, fitting) for far, fitting in by_distance.items()]
        for _, entry, others in sorted(left, key=itemgetter(0)):  # the closest of all first
            fitting = [e for e in others if e.id not in taken]
            if entry.id in found or not fitting:
                continue
            several = []
            if len(fitting) > 1:
                ids = ", ".join(e.id for e in fitting)
                several = [f"{len(fitting)} entries of the second file fit: {ids}"]
            reasons = mismatches(entry, fitting[0]) or several
            of_weights = several if len({e.weights for e in fitting}) > 1 else []
            found[entry.id] = entry, fitting[0], reasons, of_weights
            if len(fitting) == 1:
                taken.add(fitting[0].id)
    return [found[e.id] for e in a.entries if e.id in found]


def _measured_as(entry: Entry) -> tuple:
    """All that `_mismatches` looks at."""
    how = entry.environment, entry.device, entry.runtime, entry.precision
    return (*how, entry.weights, entry.params, entry.macs)


def _mismatches(entry: Entry, a: Results, other: Entry, b: Results, anyway: bool) -> list[str]:
    """Why the times of two entries of one model cannot be compared."""
    ours, theirs = a.environments.get(entry.environment), b.environments.get(other.environment)
    if ours is None or theirs is None:
        return ["the environment of an entry is not in its file"]
    pairs = {
        "device": (entry.device, other.device),
        "runtime": (entry.runtime, other.runtime),
        "precision": (entry.precision, other.precision),
        "processor": (ours.cpu, theirs.cpu),
        "number of cores": (ours.cores, theirs.cores),
        "GPU": (ours.gpu, theirs.gpu),
        "number of threads": (ours.threads, theirs.threads),
        "protocol": (_version(ours), _version(theirs)),
    }
    reasons = [f"{what} {x} against {y}" for what, (x, y) in pairs.items() if x != y]
    devices = {re.sub("-[0-9a-f]{6}$", "", e.environment) for e in (entry, other)}  # of any run
    if ours.cpu == theirs.cpu and ours.cpu.startswith(HIDDEN) and len(devices) > 1:
        reasons.append(f"processor: {ours.cpu}, in both files: name the device on the page")
    memories = [m for m in (ours.memory_bytes, theirs.memory_bytes) if m]
    if len(memories) == 2 and min(memories) < SAME_MEMORY * max(memories):
        x, y = (f"{m / 2**30:.1f} GiB" for m in memories)
        reasons.append(f"memory {x} against {y}")
    designs = [ours.microarchitecture, theirs.microarchitecture]
    if all(designs) and designs[0] != designs[1]:
        reasons.append(f"microarchitecture {designs[0]} against {designs[1]}")
    # The same weights have the same input: then it is the code that does more or less than before.
    same_size = entry.weights == other.weights or entry.params != other.params
    if entry.macs != other.macs and not same_size:
        reasons.append(f"input: {entry.macs} against {other.macs} MACs at equal parameters")
    for file, environment in (("first", ours), ("second", theirs)):
        if environment.noise and environment.noise.verdict == "unusable" and not anyway:
            why = ", ".join(environment.noise.reasons)
            reasons.append(f"the {file} file's machine was unusable: {why}")
    return reasons


def _version(environment: Environment) -> str:
    """Of the protocol by which times were taken."""
    return f"version {environment.protocol.version}" if environment.protocol else "before version 2"


def comparable(
    times: tuple[Time | None, Time | None], entry: Entry, of_a: Environment, of_b: Environment
) -> tuple[tuple[Time, Time] | None, str]:
    """Two times as they may be compared, and why they are raw; or None, and why they may not."""
    a, b = times
    if a is None or b is None:
        return None, "the samples of one file are no times: see `lightfer validate`"
    if not a.interval or not b.interval:
        return None, "one round shows no spread between rounds: measure at least 2"
    if a.corrected and b.corrected:
        if of_a.yardstick != of_b.yardstick:
            return None, f"yardstick {of_a.yardstick!r} against {of_b.yardstick!r}"
        runtime = yardstick_runtime(entry, of_a)
        package = "torch" if runtime == "pytorch" else runtime
        versions = of_a.versions.get(package), of_b.versions.get(package)
        if versions[0] == versions[1]:
            return (a, b), ""
        why = f"the yardstick was computed by {package} {versions[0]} and {versions[1]}"
    elif a.corrected or b.corrected:
        why = f"only the {'first' if a.corrected else 'second'} file has a yardstick"
    else:
        why = "neither file has a yardstick"
    return (a.uncorrected(), b.uncorrected()), f"raw times: {why}"


def conditions(a: Environment, b: Environment) -> Iterable[str]:
    """What a reader should know of two environments whose times are compared."""
    pairs = {
        "system": (a.system, b.system),
        "Python": (a.python, b.python),
        "allocator": (a.allocator, b.allocator),
        "flush_denormal": (a.flush_denormal, b.flush_denormal),
        "quick mode": (_quick(a), _quick(b)),
        "code": (a.code, b.code),
        "node": (a.node, b.node),
        "rounds": tuple(_rounds(e) for e in (a, b)),
        "threads on cores": tuple(e.protocol and e.protocol.pinning for e in (a, b)),
        "noise": (a.noise and a.noise.verdict, b.noise and b.noise.verdict),
    }
    for name in sorted(a.versions.keys() | b.versions.keys()):
        pairs[name] = (a.versions.get(name), b.versions.get(name))
    for name, (x, y) in pairs.items():
        if x != y:
            x, y = ("unknown" if value is None else value for value in (x, y))
            yield f"{name}: {x} -> {y}"
        elif name == "noise" and x not in (None, "quiet"):
            yield f"noise: {x} both times"


def settings(a: Entry, b: Entry) -> Iterable[str]:
    """What a reader should know of the runtimes' settings, where both entries state theirs."""
    ours, theirs = a.runtime_settings or {}, b.runtime_settings or {}
    for key in dict.fromkeys((*ours, *theirs)) if ours and theirs else ():
        x, y = (found.get(key, "unknown") for found in (ours, theirs))
        if x != y and key not in OF_ONE_RUN:
            net = f"{a.model}, " if key in OF_ONE_NET else ""
            yield f"{net}{a.runtime} {key}: {x} -> {y}"


def _rounds(environment: Environment) -> str | None:
    """How each was made, where the file says it."""
    how = environment.protocol
    if how is None:
        return None
    process = "each in a fresh process" if how.processes else "in one process"
    return f"{process}, groups of {how.warmup} passes to warm up"


def _quick(environment: Environment) -> bool:
    return environment.protocol is not None and environment.protocol.quick
