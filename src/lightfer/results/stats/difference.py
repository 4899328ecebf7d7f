"""An estimate with its bounds, a difference with its p-value, several of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds, in the unit of what was estimated."""

    estimate: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Difference:
    """How b differs from a, with the p-value of "not at all" before any correction."""

    interval: Interval
    p: float
    method: str


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected so that at most 5 % of families hold any false one below 5 % (Holm, 1979).

    In the order given. The correction is valid whatever the dependence between the tests.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
