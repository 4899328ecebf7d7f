"""Times of one model and of two, from blocks of passes.

Times are tested on the logarithm, so that a difference is a ratio. Passes that follow one another
share the machine's mood, so they are not independent: **the unit of everything about time is the
block** (one visit to a model, a "round" of `lightfer bench`), and each block is first reduced to
one number, its lower quartile. The lower quartile, because a pass can be arbitrarily slow but not
arbitrarily fast: it stands while less than three quarters of a block are disturbed, the median only
while less than half are.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lightfer.results.stats.difference import Difference, Interval

QUANTILE = 0.25  # of the passes of a block
FEWEST_BLOCKS_TO_BOOTSTRAP = 12  # below, its interval of a median covers under 90 %


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
