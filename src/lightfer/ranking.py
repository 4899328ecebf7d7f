"""How the models of one run stand to one another: the Pareto front, and what time goes with.

Both are about entries of one environment, device, runtime and precision. Which models are told
apart is decided by intervals that do not overlap: of time, that of the median over rounds
(`stats.median_interval`); of accuracy, Wilson's. That is cautious, and few rounds make wide
intervals: what is called tied may be told apart by more rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lightfer.results import Entry, Latency
from lightfer.stats import (
    Difference,
    Interval,
    Objective,
    median_interval,
    pareto_front,
    rank_correlation,
)

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
        if entry.accuracy is None or timed is None or timed.rounds < 2:
            continue
        models.append(entry.model)
        times.append(median_interval(timed.visits()))
        accuracies.append(Interval(entry.accuracy.top1, *entry.accuracy.ci95))
    if not models:
        return []
    axes = [Objective.of_intervals(times), Objective.of_intervals(accuracies, sign=-1.0)]
    rows = zip(models, pareto_front(axes), accuracies, times, strict=True)
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


def _count(entry: Entry, name: str) -> float | None:
    """One of COUNTS: of the entry, or of its work."""
    return getattr(entry if hasattr(entry, name) else entry.work, name, None)


def _timed(entry: Entry, batch_size: int) -> Latency | None:
    wall = (t for t in entry.latency if t.clock == "wall")
    return next((t for t in wall if t.batch_size == batch_size), None)
