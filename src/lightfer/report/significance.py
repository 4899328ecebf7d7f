"""Which figures are told apart, and which may differ by chance alone.

Accuracies of the same images are compared image by image (exact McNemar test, corrected for the
number of pairs by Holm's method), which tells apart more than their intervals do; where a file
does not say which images were right, by intervals that do not overlap. Times by the intervals of
their medians over rounds.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lightfer.results import Accuracy, Latency
from lightfer.results.stats import (
    Difference,
    Interval,
    Objective,
    compare_proportions,
    holm,
    mcnemar,
    median_interval,
    pareto_front,
)

ALPHA = 0.05
MOST_PAIRED = 400  # accuracies in one table of pairs; beyond, intervals decide


@lru_cache(4096)  # the page and the claims ask for the same
def latency_interval(latency: Latency) -> Interval | None:
    """The median in seconds with its 95 % interval; None where the rounds cannot show one."""
    samples, rounds = latency.samples_s, latency.rounds
    if rounds < 2 or len(samples) < rounds or min(samples) <= 0:
        return None
    found = median_interval(latency.visits())
    middle = latency.median_s
    return Interval(middle, min(found.low, middle), max(found.high, middle))


def overlap(a: Interval, b: Interval) -> bool:
    """Whether two intervals share a point; if not, their estimates are told apart."""
    return a.low <= b.high and b.low <= a.high


def accuracy_difference(a: Accuracy, b: Accuracy) -> Difference:
    """Accuracy of `b` minus that of `a`, paired where both say which images were right."""
    if a.correct_hex and b.correct_hex and same_images(a, b):
        right_a, right_b = int(a.correct_hex, 16), int(b.correct_hex, 16)
        only_a, only_b = right_a & ~right_b, right_b & ~right_a
        return mcnemar(only_a.bit_count(), only_b.bit_count(), a.images)
    return compare_proportions(a.top1 * a.images, a.images, b.top1 * b.images, b.images)


def same_images(a: Accuracy, b: Accuracy) -> bool:
    """Whether two accuracies of one environment are of the same images, labels and views."""
    return (a.split, a.labels, a.view, a.images) == (b.split, b.labels, b.view, b.images)


@lru_cache(8)  # machines that took their accuracies over share one table
def accuracies_apart(accuracies: tuple[Accuracy, ...]) -> NDArray[np.bool_]:
    """Which pairs of accuracies of one environment are told apart, (n, n), symmetric."""
    n = len(accuracies)
    low = np.array([a.ci95[0] for a in accuracies])
    high = np.array([a.ci95[1] for a in accuracies])
    apart = (low[:, None] > high[None, :]) | (low[None, :] > high[:, None])
    paired = [i for i in range(n) if _is_usable(accuracies[i])]
    groups: dict[tuple, list[int]] = {}
    for i in paired:
        a = accuracies[i]
        groups.setdefault((a.split, a.labels, a.view, a.images), []).append(i)
    for (*_, images), members in groups.items():
        if 2 <= len(members) <= MOST_PAIRED:
            right = [_bits(accuracies[i].correct_hex or "", images) for i in members]
            apart[np.ix_(members, members)] = _paired(np.array(right))
    return apart


def front(costs: Sequence[Interval], accuracies: Sequence[Accuracy]) -> list[str]:
    """`front`, `tied` or `dominated` of each model, by accuracy against a cost with intervals."""
    apart = accuracies_apart(tuple(accuracies))
    quality = Objective(tuple(-a.top1 for a in accuracies), tuple(map(tuple, apart.tolist())))
    return pareto_front([Objective.of_intervals(costs), quality])


def _is_usable(accuracy: Accuracy) -> bool:
    digits = accuracy.correct_hex or ""
    return len(digits) == -(-accuracy.images // 4) and set(digits) <= set("0123456789abcdef")


def _bits(digits: str, images: int) -> NDArray[np.uint8]:
    padded = digits + "0" * (len(digits) % 2)
    return np.unpackbits(np.frombuffer(bytes.fromhex(padded), np.uint8))[:images]


def _paired(right: NDArray) -> NDArray[np.bool_]:
    """McNemar's exact test of all pairs of rows (n, images), corrected together -> (n, n)."""
    from scipy.stats import binom

    hits = right.astype(np.float32)
    both = np.rint(hits @ hits.T)
    only = np.rint(hits.sum(1))[:, None] - both  # [i, j]: right in i, not in j
    first, second = np.triu_indices(len(hits), 1)
    a, b = only[first, second], only[second, first]
    p = np.minimum(1.0, 2 * binom.cdf(np.minimum(a, b), a + b, 0.5))
    apart = np.zeros_like(both, bool)
    apart[first, second] = np.array(holm(p.tolist())) < ALPHA
    return apart | apart.T
