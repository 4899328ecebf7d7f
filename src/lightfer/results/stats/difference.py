"""An estimate with its bounds, a difference with its p-value, several of them at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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


def holm(p_values: ArrayLike) -> NDArray:
    """p-values corrected so that at most 5 % of families hold any false one below 5 % (Holm, 1979).

    (n,), in the order given. The correction is valid whatever the dependence between the tests.
    """
    p = np.asarray(p_values, float)
    order = p.argsort()
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)
