"""Whether columns rank the same items alike: two of them, or many."""

from functools import lru_cache
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightfer.results.stats.difference import Difference, Interval, numbers, t_quantile

MOST_PERMUTED = 100  # items; of more the usual approximation by Student's t is as good


def rank_correlation(
    x: ArrayLike, y: ArrayLike, level: float = 0.95, permutations: int = 9999, seed: int = 0
) -> Difference:
    """Spearman's rho of two columns (n,), its interval, and the p-value of "no relation".

    The interval is Fisher's z with the variance (1 + rho^2 / 2) / (n - 3) of Bonett & Wright (2000,
    doi:10.1007/BF02294183); the p-value is of random permutations, of all of them where they are
    not more than `permutations`, and of Student's t for more than `MOST_PERMUTED` items. Not the
    bootstrap: a resample of ten models repeats some, ties them, and its interval covers too little.
    With ten models and rho 0.6 the interval is about [-0.1, 0.9]: the width is the message. Raises
    ValueError for fewer than four pairs, and for what is not finite.
    """
    from scipy.special import ndtri, stdtr
    from scipy.stats import rankdata

    x, y = numbers(x), numbers(y)
    n = len(x)
    if len(y) != n or n < 4:
        raise ValueError(f"{n} and {len(y)} values: expected at least 4 pairs")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("all values are equal: there is no rank correlation with a constant")
    ranks = rankdata([x, y], axis=1) - (n + 1) / 2
    size = abs(float(ranks[0] @ ranks[1]))  # exact, as ranks are halves
    rho = float(ranks[0] @ ranks[1]) / float(np.sqrt((ranks**2).sum(axis=1).prod()))
    if n > MOST_PERMUTED:
        t = abs(rho) * ((n - 2) / max(1 - rho * rho, 1e-300)) ** 0.5
        p = float(2 * stdtr(n - 2, -t))
    else:
        null, drawn = _permuted(*map(tuple, np.sort(ranks).tolist()), permutations, seed)
        more = len(null) - np.searchsorted(null, size)
        p = float((more + drawn) / (len(null) + drawn))
    center = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    half = ndtri((1 + level) / 2) * ((1 + rho * rho / 2) / (n - 3)) ** 0.5
    if abs(rho) > 1 - 1e-12:  # Fisher's z is infinite: the bound of the next smaller rho
        next_rho = 1 - 6 * 2 / (n * (n * n - 1))
        center = float(np.copysign(np.arctanh(next_rho), rho))
    low, high = np.tanh(center - half), np.tanh(center + half)
    interval = Interval(rho, float(min(low, rho)), float(max(high, rho)), level)
    return Difference(interval, p, f"Spearman, {n} models")


@lru_cache(64)  # where nothing is tied it depends on the number of items alone
def _permuted(
    x: tuple[float, ...], y: tuple[float, ...], permutations: int, seed: int
) -> tuple[NDArray, bool]:
    """What |rho| is proportional to, of centered ranks in other orders, in rising order, and
    whether the orders were drawn: then the order that was found counts as one of them.
    """
    from scipy.stats import permutation_test

    found: Any = permutation_test(
        (np.array(y),),
        lambda rows, axis: np.abs(rows @ np.array(x)),
        permutation_type="pairings",
        n_resamples=permutations,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return np.sort(found.null_distribution), factorial(len(x)) > permutations


def concordance(table: ArrayLike, level: float = 0.95) -> Interval:
    """Kendall's W of m rankers of n items, (m, n), with its interval: 1 if all rank them alike.

    W = (1 + (m - 1) r) / m, r the mean of Spearman's rho over all pairs of rankers (Kendall &
    Gibbons, 1990, chapter 6), which takes ties into account. r is a U-statistic, so its interval is
    the jackknife's over rankers with Student's t (Arvesen, 1969, doi:10.1214/aoms/1177697287); a
    bootstrap would draw rankers twice, who agree with themselves. It is no narrower than that of
    rankers who agree but for one, to whom two neighbours are the other way round: few who agree on
    few items by luck show the jackknife no spread at all. Raises ValueError for fewer than three
    rankers or two items, or a ranker to whom all items are equal.
    """
    from scipy.stats import rankdata

    values = numbers(table)
    if values.ndim != 2 or values.shape[0] < 3 or values.shape[1] < 2:
        raise ValueError(
            f"a table of shape {values.shape}: expected 3 rankers and 2 items at least"
        )
    ranks = rankdata(values, axis=1)
    centered = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError("all values of a ranker are equal: it ranks nothing")
    rho = (centered / lengths) @ (centered / lengths).T
    m, n = ranks.shape
    each = rho.sum(axis=1) - 1  # with all others
    total = each.sum()
    r = total / (m * (m - 1))
    left_out = (total - 2 * each) / ((m - 1) * (m - 2))
    pseudo = m * r - (m - 1) * left_out
    swapped = 24 / (n * (n * n - 1) * m**0.5)  # the deviation where one swaps two neighbours
    half = t_quantile(m - 1, level) * max(pseudo.std(ddof=1), swapped) / m**0.5
    w, low, high = ((1 + (m - 1) * float(np.clip(x, -1 / (m - 1), 1))) / m
                    for x in (r, r - half, r + half))  # fmt: skip
    return Interval(w, low, high, level)
