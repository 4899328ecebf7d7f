"""An estimate with its bounds, a difference with its p-value, several of them at once."""

from dataclasses import dataclass
from functools import cache

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


def numbers(values: ArrayLike, above: float = -np.inf) -> NDArray:
    """As an array of floats. Raises ValueError where one is not finite, or not above `above`: what
    is computed of it would be no number, or a wrong one.
    """
    found = np.asarray(values, float)
    wrong = found[~(np.isfinite(found) & (found > above))]
    if wrong.size:
        wanted = "finite numbers" + (f" above {above:g}" if np.isfinite(above) else "")
        raise ValueError(f"found {wrong[0]}, expected {wanted}")
    return found


@cache
def t_quantile(freedom: int, level: float = 0.95) -> float:
    """How many standard errors a bound is from the estimate, by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def holm(p_values: ArrayLike) -> NDArray:
    """p-values corrected so that at most 5 % of families hold any false one below 5 % (Holm, 1979).

    (n,), in the order given. The correction is valid whatever the dependence between the tests.
    """
    p = np.asarray(p_values, float)
    order = p.argsort()
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)
