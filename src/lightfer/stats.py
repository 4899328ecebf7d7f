"""What measured figures allow to be said: intervals, tests, fronts, rank correlations.

Nothing here knows of models or files. Times are tested on the logarithm, so that a difference is a
ratio. Passes that follow one another share the machine's mood, so they are not independent: **the
unit of everything about time is the block** (one visit to a model, a "round" of `lightfer bench`),
and each block is first reduced to one number, its lower quartile. The lower quartile, because a
pass can be arbitrarily slow but not arbitrarily fast: it stands while less than three quarters of
a block are disturbed, the median only while less than half are.

SciPy is imported where it is used, so that importing this module is cheap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUANTILE = 0.25  # of the passes of a block
FEWEST_BLOCKS_TO_BOOTSTRAP = 12  # below, its interval of a median covers under 90 %


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


def block_values(blocks: Sequence[Sequence[float]], quantile: float = QUANTILE) -> NDArray:
    """One number per block, (blocks,): the quantile of its samples. Raises ValueError if empty."""
    if not blocks or any(len(block) == 0 for block in blocks):
        raise ValueError("no samples: expected at least one block, each with at least one sample")
    if len({len(block) for block in blocks}) == 1:
        return np.quantile(np.asarray(blocks, float), quantile, axis=1)
    return np.array([np.quantile(np.asarray(block, float), quantile) for block in blocks])


def median_interval(
    blocks: Sequence[Sequence[float]], level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Interval of the median over blocks of the blocks' medians; seconds in, seconds out.

    From twelve blocks on the percentile bootstrap that resamples whole blocks (Efron & Tibshirani,
    1993, chapter 13). Below, where resampling can only return what few values there are (from three
    blocks it covers 75 % at best, 1 - 2 x 0.5^3), Student's t on the logarithm of the blocks'
    medians: wide, as it should be. Raises ValueError for fewer than two blocks.
    """
    from scipy import stats

    values = block_values(blocks, 0.5)
    n = len(values)
    if n < 2:
        raise ValueError("one block shows no spread: measure at least 2 rounds")
    estimate = float(np.median(values))
    if n < FEWEST_BLOCKS_TO_BOOTSTRAP:
        logs = np.log(values)
        half = stats.t.ppf((1 + level) / 2, n - 1) * logs.std(ddof=1) / n**0.5
        center = logs.mean()
        return Interval(estimate, float(np.exp(center - half)), float(np.exp(center + half)), level)
    done = stats.bootstrap(
        (values,),
        np.median,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = done.confidence_interval
    return Interval(estimate, float(low), float(high), level)


def two_stage_size(first: ArrayLike, half_width: float, most: int, level: float = 0.95) -> int:
    """How many values to take, so that the interval of their mean is mean x (1 +- half_width).

    From the spread of the `first` ones alone (Stein, 1945, doi:10.1214/aoms/1177731088): a number
    that later values decide would make the interval cover too little. At least as many as there
    are, at most `most`.
    """
    from scipy import stats

    values = np.asarray(first, float)
    n = len(values)
    width = half_width * abs(values.mean())
    if width == 0:
        return most
    t = float(stats.t.ppf((1 + level) / 2, n - 1))
    needed = int(np.ceil((t * values.std(ddof=1) / width) ** 2))
    return max(n, min(needed, most))


def two_stage_interval(values: ArrayLike, first: int, level: float = 0.95) -> Interval:
    """Interval of the mean of values whose number `two_stage_size` chose from the `first` of them.

    Student's t with the spread of the first ones, over the mean of all; with no others it is the
    usual interval. For normal values it covers at least `level` whatever the spread is. Raises
    ValueError for fewer than two values.
    """
    from scipy import stats

    values = np.asarray(values, float)
    if len(values) < 2:
        raise ValueError("one value shows no spread: measure at least 2 blocks")
    start = values[:first]
    t = float(stats.t.ppf((1 + level) / 2, len(start) - 1))
    half = t * float(start.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, level)


@cache
def _signed_rank_counts(n: int) -> NDArray:
    """Share of the 2^n sign patterns with each sum of positive ranks, (n (n + 1) / 2 + 1,)."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.zeros_like(counts)
        shifted[rank:] = counts[:-rank]
        counts = (counts + shifted) / 2
    return counts


def compare_paired(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], level: float = 0.95
) -> Difference:
    """Ratio b / a from interleaved blocks: a[i] and b[i] in one round, their order drawn by lot.

    Exact Wilcoxon signed-rank test on the differences of log lower quartiles, and the interval of
    the Hodges-Lehmann estimate that belongs to it (Hollander, Wolfe & Chicken, 2014, 3.1-3.3).
    Because the order within each round is drawn by lot, every sign is a fair coin if a and b are
    alike, *whatever* the noise and its correlation over time: the level holds by the lottery and
    needs no model of the machine (Fisher, 1935). An order of fixed pattern (ABBA) gives no such
    guarantee. Raises ValueError if the blocks do not pair up.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} blocks against {len(b)}: expected pairs")
    d = np.log(block_values(b)) - np.log(block_values(a))
    n = len(d)
    walsh = np.sort(((d[:, None] + d[None, :]) / 2)[np.triu_indices(n)])
    counts = _signed_rank_counts(n)
    below = np.cumsum(counts)  # P(W <= w)
    # The number of Walsh averages above 0 is the sum of the positive ranks; a tie with 0 counts
    # for the null hypothesis on either side.
    up, down = int((walsh > 0).sum()), int((walsh < 0).sum())
    p = min(1.0, 2 * float(below[len(walsh) - max(up, down)]))
    # The interval drops as many averages at each end as the test cannot reject.
    allowed = int(np.searchsorted(below, (1 - level) / 2, side="right")) - 1
    low, high = (walsh[allowed], walsh[-1 - allowed]) if allowed >= 0 else (-np.inf, np.inf)
    ratio = Interval(
        float(np.exp(np.median(walsh))), float(np.exp(low)), float(np.exp(high)), level
    )
    return Difference(ratio, p, f"exact signed-rank test on {n} pairs of blocks")


def fastest_majority(values: NDArray) -> NDArray:
    """The smallest values of each row, just over half: (..., n) -> (..., n // 2 + 1)."""
    return np.sort(values, axis=-1)[..., : values.shape[-1] // 2 + 1]


def closest_majority(values: NDArray) -> NDArray:
    """Those values of each row, just over half, that lie closest together (the shorth's half).

    (..., n) -> (..., n // 2 + 1). Andrews et al., 1972, Robust Estimates of Location.
    """
    ordered, kept = np.sort(values, axis=-1), values.shape[-1] // 2 + 1
    windows = np.lib.stride_tricks.sliding_window_view(ordered, kept, axis=-1)
    narrowest = (windows[..., -1] - windows[..., 0]).argmin(-1)
    return np.take_along_axis(windows, narrowest[..., None, None], axis=-2)[..., 0, :]


@cache
def _variance_factor(keep: Callable[[NDArray], NDArray], rounds: int) -> float:
    """Variance of the kept values' mean, per their own variance; normal noise, simulated."""
    kept = keep(np.random.default_rng(0).standard_normal((40_000, rounds)))
    return float(kept.mean(1).var() / kept.var(1, ddof=1).mean())


def compare_runs(
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    run_to_run: float,
    level: float = 0.95,
    *,
    beside: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Difference:
    """Ratio b / a of two *separate* runs, each of at least two rounds.

    Each round counts by its log lower quartile. Without `beside`, a run's log time is the mean of
    the fastest majority of its rounds (2 of 3, 3 of 5): noise only ever adds, and a round that was
    disturbed as a whole is left out. `beside` holds, per run, the time of one and the same
    yardstick beside each round: then a round counts relative to it, so the ratio is of b / a where
    the machine is as fast, and as a disturbed yardstick makes a round look fast, the majority that
    lies closest together is taken.

    A run's variance is that between the kept rounds, plus `run_to_run`^2: a standard deviation of
    log time by which whole runs differ for reasons that no sample within them shows (memory layout,
    frequency, neighbours). Without that allowance the interval is far too narrow. The sum is
    referred to Student's t with degrees of freedom after Satterthwaite (1946), the allowance
    counting as known.
    """
    from scipy import stats

    keep = closest_majority if beside else fastest_majority
    means, variances, freedoms = [], [], []
    for rounds, references in zip((a, b), beside or (None, None), strict=True):
        if len(rounds) < 2:
            raise ValueError("one round shows no spread: measure at least 2 rounds")
        logs = np.log(block_values(rounds))
        if references is not None:
            if len(references) != len(rounds):
                raise ValueError(f"{len(references)} yardsticks beside {len(rounds)} rounds")
            logs = logs - np.log(np.asarray(references, float))
        kept = keep(logs)
        means.append(kept.mean())
        variances.append(kept.var(ddof=1) * _variance_factor(keep, len(rounds)))
        freedoms.append(len(kept) - 1)
    total = sum(variances) + 2 * run_to_run**2
    error = total**0.5
    within = sum(v * v / f for v, f in zip(variances, freedoms, strict=True))
    freedom = total**2 / within if within > 0 else np.inf
    d = float(means[1] - means[0])
    if error == 0:
        p, half = float(d == 0), 0.0
    else:
        p = float(2 * stats.t.sf(abs(d) / error, freedom))
        half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    ratio = Interval(float(np.exp(d)), float(np.exp(d - half)), float(np.exp(d + half)), level)
    method = f"{len(a)} and {len(b)} rounds, {100 * run_to_run:.1f} % allowed between runs"
    if beside:
        method += ", relative to the yardstick"
    return Difference(ratio, p, method)


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


def mcnemar(only_a: int, only_b: int, images: int, level: float = 0.95) -> Difference:
    """Accuracy of b minus that of a on the same images, as fractions.

    `only_a` images were right in a alone, `only_b` in b alone. Exact binomial test on these
    discordant images (McNemar, 1947); interval of Agresti & Min (2005, doi:10.1002/sim.1781): Wald
    after adding half an image to each of the four cells.
    """
    from scipy import stats

    if not 0 <= only_a + only_b <= images or min(only_a, only_b) < 0:
        raise ValueError(f"{only_a} + {only_b} discordant of {images} images: expected a part")
    discordant = only_a + only_b
    p = float(stats.binomtest(only_b, discordant, 0.5).pvalue) if discordant else 1.0
    n, down, up = images + 2, only_a + 0.5, only_b + 0.5
    center = (up - down) / n
    half = stats.norm.ppf((1 + level) / 2) * (up + down - (up - down) ** 2 / n) ** 0.5 / n
    interval = Interval(
        (only_b - only_a) / images, max(-1.0, center - half), min(1.0, center + half), level
    )
    return Difference(interval, p, f"McNemar, exact, {discordant} discordant of {images} images")


def compare_proportions(
    hits_a: float, images_a: int, hits_b: float, images_b: int, level: float = 0.95
) -> Difference:
    """Accuracy of b minus that of a, as if on different images: wider than the paired `mcnemar`.

    Interval of Newcombe (1998, method 10) from two Wilson intervals; score test of two proportions.
    """
    from scipy import stats

    z = float(stats.norm.ppf((1 + level) / 2))
    pa, la, ua = _wilson(hits_a, images_a, z)
    pb, lb, ub = _wilson(hits_b, images_b, z)
    d = pb - pa
    low = d - ((pb - lb) ** 2 + (ua - pa) ** 2) ** 0.5
    high = d + ((ub - pb) ** 2 + (pa - la) ** 2) ** 0.5
    pooled = (hits_a + hits_b) / (images_a + images_b)
    error = (pooled * (1 - pooled) * (1 / images_a + 1 / images_b)) ** 0.5
    p = float(2 * stats.norm.sf(abs(d) / error)) if error > 0 else 1.0
    return Difference(Interval(d, low, high, level), p, "unpaired: predictions are not in both")


def _wilson(hits: float, images: int, z: float) -> tuple[float, float, float]:
    """Proportion and its score interval (Wilson, 1927)."""
    p, z2 = hits / images, z * z
    center = (p + z2 / (2 * images)) / (1 + z2 / images)
    half = z * (p * (1 - p) / images + z2 / (4 * images**2)) ** 0.5 / (1 + z2 / images)
    return p, center - half, center + half


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

    @staticmethod
    def exact(values: Sequence[float], sign: float = 1.0) -> "Objective":
        """Values without noise, as parameters are; sign -1 for what should be large."""
        return Objective(
            tuple(sign * v for v in values), tuple(tuple(a != b for b in values) for a in values)
        )


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


def rank_correlation(
    x: ArrayLike, y: ArrayLike, level: float = 0.95, permutations: int = 9999, seed: int = 0
) -> Difference:
    """Spearman's rho of two columns (n,), its interval, and the p-value of "no relation".

    The interval is Fisher's z with the variance (1 + rho^2 / 2) / (n - 3) of Bonett & Wright (2000,
    doi:10.1007/BF02294183); the p-value is of random permutations. Not the bootstrap: a resample of
    ten models repeats some, ties them, and its interval covers too little. With ten models and
    rho 0.6 the interval is about [-0.1, 0.9]: the width is the message. Raises ValueError for
    fewer than four pairs.
    """
    from scipy import stats

    x, y = np.asarray(x, float), np.asarray(y, float)
    n = len(x)
    if len(y) != n or n < 4:
        raise ValueError(f"{n} and {len(y)} values: expected at least 4 pairs")
    ranks_x, ranks_y = stats.rankdata(x), stats.rankdata(y)
    correlate: Callable[[NDArray], NDArray] = _correlator(ranks_x)
    rho = float(np.clip(correlate(ranks_y[None])[0], -1, 1))
    shuffled = np.random.default_rng(seed).permuted(
        np.broadcast_to(ranks_y, (permutations, n)), axis=1
    )
    extreme = int((np.abs(correlate(shuffled)) >= abs(rho) - 1e-12).sum())
    center = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    half = stats.norm.ppf((1 + level) / 2) * ((1 + rho * rho / 2) / (n - 3)) ** 0.5
    if abs(rho) > 1 - 1e-12:  # Fisher's z is infinite: the bound of the next smaller rho
        next_rho = 1 - 6 * 2 / (n * (n * n - 1))
        center = float(np.copysign(np.arctanh(next_rho), rho))
    low, high = np.tanh(center - half), np.tanh(center + half)
    interval = Interval(rho, float(min(low, rho)), float(max(high, rho)), level)
    return Difference(interval, (extreme + 1) / (permutations + 1), f"Spearman, {n} models")


def _correlator(ranks: NDArray) -> Callable[[NDArray], NDArray]:
    """Pearson's correlation of `ranks` (n,) with each row of an array (m, n) -> (m,)."""
    centered = ranks - ranks.mean()
    norm = float(np.sqrt((centered**2).sum()))
    if norm == 0:
        raise ValueError("all values are equal: there is no rank correlation with a constant")

    def correlate(rows: NDArray) -> NDArray:
        others = rows - rows.mean(1, keepdims=True)
        norms = np.sqrt((others**2).sum(1))
        if (norms == 0).any():
            raise ValueError("all values are equal: there is no rank correlation with a constant")
        return others @ centered / (norm * norms)

    return correlate
