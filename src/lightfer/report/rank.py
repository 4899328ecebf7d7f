"""How the models of one run stand to one another: the Pareto front, and what time goes with.

Both are about entries of one environment, device, runtime and precision; their times are those of
`results.select.Times`, corrected by the yardstick where the file has one. Which of them are
significantly different is decided by `lightfer.report.significance`. Few rounds find little: what
is called tied may be known to differ after more rounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from lightfer.report.significance import front
from lightfer.results import Entry
from lightfer.results.select import Times, net_names, over_nets, scored_alike
from lightfer.results.stats import Difference, Interval, rank_correlation

Figure = Callable[[Entry], float | None]
COUNTS: dict[str, Figure] = {
    **{name: attrgetter(name) for name in ("macs", "params")},
    **{
        name: lambda e, name=name: e.work and getattr(e.work, name)
        for name in ("bytes_fused", "bytes_unfused", "weight_bytes", "operator_calls")
    },
}


@dataclass(frozen=True)
class Standing:
    """One model, in one of its trainings, on accuracy against time: see `pareto_front`."""

    model: str
    status: str
    top1: Interval
    latency_s: Interval  # corrected by the yardstick, if there is one
    raw_latency_s: Interval
    corrected: bool


def standings(entries: Sequence[Entry], times: Times, batch_size: int = 1) -> list[Standing]:
    """Where each model that did not fail, with at least two rounds, and an accuracy on the images
    and labels that most were scored on, stands, the fastest first.
    """
    found = [
        (entry, entry.accuracy, time)
        for entry in scored_alike(e for e in entries if e.error is None)
        if entry.accuracy and (time := times.at(entry, batch_size)) and time.interval
    ]
    if not found:
        return []
    names = net_names(entries)
    statuses = front([time for *_, time in found], [accuracy for _, accuracy, _ in found])
    rows = [
        Standing(names[e.id], status, Interval(a.top1, *a.ci95), t.interval, t.raw, t.corrected)
        for (e, a, t), status in zip(found, statuses, strict=True)
        if t.interval and t.raw
    ]
    return sorted(rows, key=lambda row: row.latency_s.estimate)


def correlations(
    entries: Sequence[Entry], times: Times, batch_size: int = 1
) -> dict[str, Difference]:
    """Spearman's rho of each known count with time, over at least four models."""
    return _rhos(entries, COUNTS, lambda e: times.seconds(e, batch_size))


def energy_correlations(
    entries: Sequence[Entry], times: Times, batch_size: int
) -> tuple[dict[str, Difference], str | None]:
    """Spearman's rho of each count and of time with gross energy per image.

    Of energy that was measured at `batch_size`. Else nothing, and the reason: energy that is
    modelled from time is time by another name.
    """
    known = [e for e in entries if _joules(e, batch_size) is not None]
    if (measured := len({e.model for e in known})) < 4:
        methods = sorted({e.energy.method() or "unknown" for e in entries if e.energy})
        told = f"energy here is {', '.join(methods)}" if methods else "no energy is known"
        return {}, f"{told}: measured at batch {batch_size} for {measured} models, needs 4"
    figures: dict[str, Figure] = {**COUNTS, "latency": lambda e: times.seconds(e, batch_size)}
    return _rhos(known, figures, lambda e: _joules(e, batch_size)), None


def _rhos(entries: Sequence[Entry], x: dict[str, Figure], y: Figure) -> dict[str, Difference]:
    """Spearman's rho of each known figure with `y`, where there is one."""
    found = {name: correlation(over_nets(entries, figure, y)) for name, figure in x.items()}
    return {name: rho for name, rho in found.items() if rho}


def correlation(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """Spearman's rho of at least four pairs; None of fewer, or where one of both does not vary."""
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    enough = len(pairs) >= 4 and min(len(set(x)), len(set(y))) > 1
    return rank_correlation(x, y) if enough else None


def _joules(entry: Entry, batch_size: int) -> float | None:
    """Gross joules per image that meters gave at a batch size."""
    for energy in (entry.energy, *entry.energy_other):
        if energy and energy.measured() and energy.batch_size == batch_size and energy.gross:
            return energy.gross.joules_per_image
    return None
