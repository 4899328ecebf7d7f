"""How many values to take, and the interval of their mean (Stein, 1945)."""

import numpy as np
from numpy.typing import ArrayLike

from lightfer.results.stats.difference import Interval, t_quantile


def two_stage_size(first: ArrayLike, half_width: float, most: int, level: float = 0.95) -> int:
    """How many values to take, so that the interval of their mean is mean x (1 +- half_width).

    From the spread of the `first` ones alone (Stein, 1945, doi:10.1214/aoms/1177731088): a number
    that later values decide would make the interval cover too little. At least as many as there
    are, at most `most`.
    """
    values = np.asarray(first, float)
    n = len(values)
    width = half_width * abs(values.mean())
    if width == 0:
        return most
    t = t_quantile(n - 1, level)
    needed = int(np.ceil((t * values.std(ddof=1) / width) ** 2))
    return max(n, min(needed, most))


def two_stage_interval(values: ArrayLike, first: int, level: float = 0.95) -> Interval:
    """Interval of the mean of values whose number `two_stage_size` chose from the `first` of them.

    Student's t with the spread of the first ones, over the mean of all; with no others it is the
    usual interval. For normal values it covers at least `level` whatever the spread is. Raises
    ValueError for fewer than two values.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError("one value shows no spread: measure at least 2 blocks")
    start = values[:first]
    t = t_quantile(len(start) - 1, level)
    half = t * float(start.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, level)
