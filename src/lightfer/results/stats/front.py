"""The Pareto front of items whose values are known with an error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 2**18  # pairs of items, of which many take memory


@dataclass(frozen=True)
class Objective:
    """One axis of a Pareto front: values to be made small, and which of them differ at all."""

    values: tuple[float, ...]
    differ: NDArray[np.bool_]  # [i, j]: i and j are significantly different


def pareto_front(objectives: Sequence[Objective]) -> list[str]:
    """For each item `front`, `tied` or `dominated`.

    `dominated`: another is significantly better on one axis and, on every other, significantly
    better or exactly equal. `front`: none is at least as good by the estimates on all axes and
    better on one. `tied`: off the front by the estimates, but by differences that are not
    significant, so that another run may put it there.
    """
    values = [np.asarray(axis.values, float) for axis in objectives]
    items = len(values[0])
    step = max(1, AT_ONCE // max(1, items))
    found = []
    for rows in (slice(i, i + step) for i in range(0, items, step)):
        gains = [value[rows, None] - value for value in values]  # of each other item over these
        maybe = np.any([gain > 0 for gain in gains], axis=0)
        surely = maybe.copy()
        for axis, gain in zip(objectives, gains, strict=True):
            maybe &= gain >= 0
            surely &= (gain == 0) | ((gain > 0) & axis.differ[rows])
        for is_worse, may_be_worse in zip(surely.any(axis=1), maybe.any(axis=1), strict=True):
            found.append("dominated" if is_worse else "tied" if may_be_worse else "front")
    return found
