"""The Pareto front of items whose values are known with an error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    count = len(objectives[0].values)

    def beats(j: int, i: int, surely: bool) -> bool:
        better = False
        for axis in objectives:
            gain = axis.values[i] - axis.values[j]
            if gain < 0 or (surely and gain > 0 and not axis.differ[i, j]):
                return False
            better |= gain > 0
        return better

    def status(i: int) -> str:
        others = [j for j in range(count) if j != i]
        if any(beats(j, i, surely=True) for j in others):
            return "dominated"
        return "tied" if any(beats(j, i, surely=False) for j in others) else "front"

    return [status(i) for i in range(count)]
