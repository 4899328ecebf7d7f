"""The Pareto front of items whose values are known with an error."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightfer.results.stats.difference import Interval


@dataclass(frozen=True)
class Objective:
    """One axis of a Pareto front: values to be made small, and which of them differ at all."""

    values: tuple[float, ...]
    differ: tuple[tuple[bool, ...], ...]  # [i][j]: i and j are told apart

    @staticmethod
    def of_intervals(intervals: Sequence[Interval], sign: float = 1.0) -> "Objective":
        """Two are told apart if their intervals do not overlap, which is cautious."""
        differ = tuple(
            tuple(a.high < b.low or b.high < a.low for b in intervals) for a in intervals
        )
        return Objective(tuple(sign * i.estimate for i in intervals), differ)


def pareto_front(objectives: Sequence[Objective]) -> list[str]:
    """For each item `front`, `tied` or `dominated`.

    `dominated`: another is told apart as better on one axis and, on every other, told apart as
    better or exactly equal. `front`: none is at least as good by the estimates on all axes and
    better on one. `tied`: off the front by the estimates, but by differences that are not told
    apart, so that another run may put it there.
    """
    count = len(objectives[0].values)

    def beats(j: int, i: int, surely: bool) -> bool:
        better = False
        for axis in objectives:
            gain = axis.values[i] - axis.values[j]
            if gain < 0 or (surely and gain > 0 and not axis.differ[i][j]):
                return False
            better |= gain > 0
        return better

    def status(i: int) -> str:
        others = [j for j in range(count) if j != i]
        if any(beats(j, i, surely=True) for j in others):
            return "dominated"
        return "tied" if any(beats(j, i, surely=False) for j in others) else "front"

    return [status(i) for i in range(count)]
