"""How the models of one run stand to one another: the Pareto front, and what time goes with.

Both are about entries of one environment, device, runtime and precision. Which models are told
apart is decided by `lightfer.report.significance`: times by the intervals of their medians over
rounds, accuracies image by image. Few rounds make wide intervals: what is called tied may be told
apart by more rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lightfer.report.significance import front, latency_interval
from lightfer.results import Entry, Latency
from lightfer.results.stats import Difference, Interval, rank_correlation

COUNTS = ("macs", "params", "bytes_fused", "bytes_unfused", "weight_bytes", "operator_calls")


@dataclass(frozen=True)
class Place:
    """One model on accuracy against time: `front`, `tied` or `dominated`, see `pareto_front`."""

    model: str
    status: str
    top1: Interval
    latency_s: Interval


def places(entries: Sequence[Entry], batch_size: int = 1) -> list[Place]:
    """Where each model with an accuracy and at least two rounds stands, the fastest first."""
    models, times, accuracies = [], [], []
    for entry in entries:
        timed = _timed(entry, batch_size)
        time = latency_interval(timed) if timed else None
        if entry.accuracy is None or time is None:
            continue
        models.append(entry.model)
        times.append(time)
        accuracies.append(entry.accuracy)
    if not models:
        return []
    shown = (Interval(a.top1, *a.ci95) for a in accuracies)
    rows = zip(models, front(times, accuracies), shown, times, strict=True)
    return sorted((Place(*row) for row in rows), key=lambda p: p.latency_s.estimate)


def correlations(entries: Sequence[Entry], batch_size: int = 1) -> dict[str, Difference]:
    """Spearman's rho of each known count with the median time, over at least four models."""
    found = {}
    for name in COUNTS:
        pairs = [
            (count, timed.median_s)
            for entry in entries
            if (count := _count(entry, name)) is not None
            and (timed := _timed(entry, batch_size)) is not None
        ]
        if len(pairs) >= 4 and len({count for count, _ in pairs}) > 1:
            counts, times = zip(*pairs, strict=True)
            found[name] = rank_correlation(counts, times)
    return found


def energy_correlations(
    entries: Sequence[Entry], batch_size: int
) -> tuple[dict[str, Difference], str | None]:
    """Spearman's rho of each count and of the median time with gross energy per image.

    Of energy that was measured at `batch_size`. Else nothing, and the reason: energy that is
    modelled from time is time by another name.
    """
    found: dict[str, Difference] = {}
    measured = {e.id: each for e in entries if (each := _joules(e, batch_size)) is not None}
    if len(measured) < 4:
        methods = sorted({e.energy.method() or "unknown" for e in entries if e.energy})
        told = f"energy here is {', '.join(methods)}" if methods else "no energy is known"
        return {}, f"{told}: measured at batch {batch_size} for {len(measured)} models, needs 4"
    known = [e for e in entries if e.id in measured]
    columns = {name: {e.id: _count(e, name) for e in known} for name in COUNTS}
    times = {e.id: _timed(e, batch_size) for e in known}
    columns["latency"] = {key: t.median_s if t else None for key, t in times.items()}
    for name, column in columns.items():
        pairs = [(value, measured[key]) for key, value in column.items() if value is not None]
        if len(pairs) >= 4 and len({value for value, _ in pairs}) > 1:
            values, joules = zip(*pairs, strict=True)
            found[name] = rank_correlation(values, joules)
    return found, None


def _joules(entry: Entry, batch_size: int) -> float | None:
    """Gross joules per image that meters gave at a batch size."""
    for energy in (entry.energy, *entry.energy_other):
        if energy and energy.measured() and energy.batch_size == batch_size and energy.gross:
            return energy.gross.joules_per_image
    return None


def _count(entry: Entry, name: str) -> float | None:
    """One of COUNTS: of the entry, or of its work."""
    return getattr(entry if hasattr(entry, name) else entry.work, name, None)


def _timed(entry: Entry, batch_size: int) -> Latency | None:
    wall = (t for t in entry.latency if t.clock == "wall")
    return next((t for t in wall if t.batch_size == batch_size), None)
