"""Which figures are significantly different, and which may differ by chance alone.

Every pair of a set is tested, or one against the others, the p-values corrected together by Holm's
method. Accuracies of the same images are compared image by image (exact McNemar test), which finds
more than their intervals do; times of one run round by round (`stats.located`). Where a file does
not say which images were right, where nets have different numbers of rounds, and among more than
`MOST_PAIRED`, intervals decide that do not overlap.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lightfer.results import Accuracy
from lightfer.results.select import Time, scored_on
from lightfer.results.stats import (
    Difference,
    Interval,
    Objective,
    compare_proportions,
    holm,
    located,
    mcnemar,
    pareto_front,
)

ALPHA = 0.05
MOST_PAIRED = 400  # accuracies or times in one table of pairs


def times_differ(times: Sequence[Time]) -> NDArray[np.bool_]:
    """Which pairs of times of one run are significantly different, (n, n), symmetric.

    Of one round alone nothing is known to differ.
    """
    return _times_differ(tuple(times))


@lru_cache(8)  # the front, the choice and the page ask for the same
def _times_differ(times: tuple[Time, ...]) -> NDArray[np.bool_]:
    intervals = [t.interval or Interval(t.estimate_s, 0.0, np.inf) for t in times]
    differ = without_overlap(intervals)
    for members in paired_times(times):
        logs = np.log([times[i].rounds_s for i in members])
        tests = len(members) * (len(members) - 1) // 2
        differ[np.ix_(members, members)] = _all_pairs(
            len(members),
            lambda a, b, logs=logs, n=tests: located(logs[b] - logs[a], tests=n)[3],
        )
    return differ


def paired_times(times: Sequence[Time]) -> list[list[int]]:
    """Places of the times that are compared round by round, each group in itself; intervals decide
    of all else.
    """
    rounds = (len(t.rounds_s) for t in times)
    return _groups(n if n > 1 else None for n in rounds)


def paired_accuracies(accuracies: Sequence[Accuracy]) -> list[list[int]]:
    """Places of the accuracies, no two equal, that are compared image by image, likewise."""
    return _groups(scored_on(a) if _is_usable(a) else None for a in accuracies)


def _groups(keys: Iterable[Hashable]) -> list[list[int]]:
    """Places of equal keys but None, where every pair can be tested."""
    found: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        if key is not None:
            found.setdefault(key, []).append(i)
    return [members for members in found.values() if 2 <= len(members) <= MOST_PAIRED]


def without_overlap(intervals: Sequence[Interval]) -> NDArray[np.bool_]:
    """Which pairs of intervals share no point, (n, n): cautious where nothing better is known."""
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    return (low[:, None] > high[None, :]) | (low[None, :] > high[:, None])


def _all_pairs(n: int, p_values: Callable[[NDArray, NDArray], NDArray]) -> NDArray[np.bool_]:
    """Test all pairs of n items, corrected together, (n, n); `p_values` of two arrays of places."""
    first, second = np.triu_indices(n, 1)
    step = 4096  # pairs of many rounds take memory
    p = np.concatenate(
        [p_values(first[i : i + step], second[i : i + step]) for i in range(0, len(first), step)]
    )
    differ = np.zeros((n, n), bool)
    differ[first, second] = holm(p) < ALPHA
    return differ | differ.T


def accuracy_difference(a: Accuracy, b: Accuracy) -> Difference:
    """Accuracy of `b` minus that of `a`, paired where both say which images were right."""
    if _is_usable(a) and _is_usable(b) and scored_on(a) == scored_on(b):
        filled = -a.images % 4  # bits behind the last image
        right_a, right_b = (int(x.correct_hex or "", 16) >> filled for x in (a, b))
        only_a, only_b = right_a & ~right_b, right_b & ~right_a
        return mcnemar(only_a.bit_count(), only_b.bit_count(), a.images)
    return compare_proportions(a.top1 * a.images, a.images, b.top1 * b.images, b.images)


@lru_cache(8)  # machines that took their accuracies over share one table
def accuracies_differ(accuracies: tuple[Accuracy, ...]) -> NDArray[np.bool_]:
    """Which pairs of accuracies of one environment differ significantly, (n, n), symmetric."""
    return _accuracies(accuracies, _each_pair)


@lru_cache(8)
def accuracies_differ_from(accuracies: tuple[Accuracy, ...]) -> NDArray[np.bool_]:
    """Row i: which accuracies differ significantly from that of i, (n, n), not symmetric.

    For a question of one against the others, as which may be the best: only these tests are
    corrected together. In a table of pairs two nets of which one is surely better become alike
    by many others beside them.
    """
    return _accuracies(accuracies, _each_with_others)


def _accuracies(
    accuracies: tuple[Accuracy, ...], decided: Callable[[NDArray], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """`decided` from the p-values of all pairs, (m, m); what stands there twice is tested once."""
    known = tuple(dict.fromkeys(accuracies))
    differ = without_overlap([Interval(a.top1, *a.ci95) for a in known])
    for members in paired_accuracies(known):
        right = [_bits(known[i].correct_hex or "", known[i].images) for i in members]
        differ[np.ix_(members, members)] = decided(_paired(np.array(right)))
    places = {a: i for i, a in enumerate(known)}
    at = [places[a] for a in accuracies]
    return differ[np.ix_(at, at)]


def _each_pair(p: NDArray) -> NDArray[np.bool_]:
    return _all_pairs(len(p), lambda a, b: p[a, b])


def _each_with_others(p: NDArray) -> NDArray[np.bool_]:
    differ = np.zeros(p.shape, bool)
    for i, row in enumerate(p):
        others = np.arange(len(p)) != i
        differ[i, others] = holm(row[others]) < ALPHA
    return differ


def front(times: Sequence[Time], accuracies: Sequence[Accuracy]) -> list[str]:
    """`front`, `tied` or `dominated` of each model, by accuracy against time in one run."""
    quality = Objective(tuple(-a.top1 for a in accuracies), accuracies_differ(tuple(accuracies)))
    cost = Objective(tuple(t.estimate_s for t in times), times_differ(times))
    return pareto_front([cost, quality])


def _is_usable(accuracy: Accuracy) -> bool:
    digits = accuracy.correct_hex or ""
    return len(digits) == -(-accuracy.images // 4) and set(digits) <= set("0123456789abcdef")


def _bits(digits: str, images: int) -> NDArray[np.uint8]:
    padded = digits + "0" * (len(digits) % 2)
    return np.unpackbits(np.frombuffer(bytes.fromhex(padded), np.uint8))[:images]


def _paired(right: NDArray) -> NDArray:
    """p-values of McNemar's exact test of all pairs of rows (n, images) -> (n, n)."""
    from scipy.special import bdtr

    hits = right.astype(np.float32)
    both = np.rint(hits @ hits.T).astype(int)
    only = both.diagonal()[:, None] - both  # [i, j]: right in i, not in j
    return np.minimum(1.0, 2 * bdtr(np.minimum(only, only.T), only + only.T, 0.5))
