"""The one estimator, interval and test of times, from rounds of passes.

Passes that follow one another share the machine's mood, so they are not independent: **the unit of
everything about time is the round**, one visit to a net in a run that visits all of them in an
order drawn by lot. Each round is reduced to one number, the median of its passes, corrected where a
yardstick was timed beside it (`corrected`). Everything is then about the logarithms of the rounds:
of one net for its time, of the round by round ratio of two nets for their difference.

Estimate:  the Hodges-Lehmann pseudomedian, which one bad round of five does not carry away.
Interval:  from `FEWEST_TO_RANK` rounds on that of the exact signed-rank test (Wilcoxon; Hollander,
           Wolfe & Chicken, 2014, 3.1-3.3). Below, the estimate with Student's t times the standard
           error of the mean: five rounds have 32 patterns of signs, so no signed-rank test of them
           reaches p < 0.0625, and what several tests ask for together is out of its reach up to 11.
           So it is of more rounds where more tests are corrected together than its least p allows.
Test:      of the same kind, on the ratios of two nets. The order within each round is drawn by lot,
           so every sign is a fair coin if two nets are alike, *whatever* the machine does (Fisher,
           1935): the signed-rank test needs no model of the noise. Student's t takes the ratios for
           normal; where they have heavy tails it finds less, not more.

Separate runs are another question (`compare_runs`): whole runs differ by more than any round within
them shows, so an allowance is added. The estimate of each run is the same.
"""

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightfer.results.stats.difference import Difference, Interval, numbers, t_quantile

FEWEST_TO_RANK = 12  # rounds: p can be 0.0005, which is enough for 100 tests corrected together
MOST_SIMULATED = 60  # rounds
AT_ONCE = 4096  # rows of rounds, of which many take memory: n rounds have n (n + 1) / 2 pairs
FEWEST_FOR_MAJORITY = 5  # rounds of a run from which the closest majority shows a spread


def corrected(values: NDArray, yardstick: ArrayLike, reference: float) -> NDArray:
    """Times of rounds as if the machine had been equally fast in all of them: raw x reference /
    yardstick. `yardstick` (rounds,) is what one and the same net took beside each round,
    `reference` its median over the whole run.
    """
    beside = np.asarray(yardstick, float)
    if beside.shape != values.shape:
        raise ValueError(f"{beside.size} yardsticks beside {values.size} rounds")
    return values * reference / beside


def time_intervals(values: ArrayLike, level: float = 0.95) -> list[Interval]:
    """The times of nets from one number per round, (nets, rounds), each with its interval; seconds
    in, seconds out. Raises ValueError for fewer than two rounds, and for what is no time above 0.
    """
    logs = np.log(numbers(values, above=0.0))
    if logs.shape[1] < 2:
        raise ValueError("one round shows no spread: measure at least 2 rounds")
    found = []
    for some in np.array_split(logs, -(-len(logs) // AT_ONCE)):
        bounds = np.exp(located(some, level)[:3]).T.tolist()
        found += [Interval(estimate, low, high, level) for estimate, low, high in bounds]
    return found


def located(
    d: NDArray, level: float = 0.95, tests: int = 1
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Where the values of each row (..., n) lie: estimate, bounds, and the p-value of 0, (...),
    which is one of so many `tests` that are corrected together.
    """
    from scipy.special import stdtr

    n = d.shape[-1]
    walsh = _pair_means(d)
    estimate = _middle(walsh)
    if n < FEWEST_TO_RANK or tests * 2 / 2**n > 1 - level:
        error = d.std(axis=-1, ddof=1) / n**0.5
        half = t_quantile(n - 1, level) * error
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(estimate == 0, 0.0, np.abs(estimate) / error)
        return estimate, estimate - half, estimate + half, 2 * stdtr(n - 1, -t)
    below = _signed_rank_levels(n)
    # The number of Walsh averages above 0 is the sum of the positive ranks; a tie with 0 counts
    # for the null hypothesis on either side.
    most = np.maximum((walsh > 0).sum(axis=-1), (walsh < 0).sum(axis=-1))
    p = np.minimum(1.0, 2 * below[walsh.shape[-1] - most])
    # The interval drops as many averages at each end as the test cannot reject.
    dropped = int(np.searchsorted(below, (1 - level) / 2, side="right")) - 1
    return estimate, walsh[..., dropped], walsh[..., -1 - dropped], p


def _pair_means(d: NDArray) -> NDArray:
    """Of all pairs of the values of each row, each with itself too, in rising order: the Walsh
    averages, (..., n) -> (..., n (n + 1) / 2).
    """
    first, second = _pairs(d.shape[-1])
    return np.sort((d[..., first] + d[..., second]) / 2, axis=-1)


def _middle(ordered: NDArray) -> NDArray:
    """The median of each row, which is in order."""
    n = ordered.shape[-1]
    return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2


@cache
def _pairs(n: int) -> tuple[NDArray, NDArray]:
    return np.triu_indices(n)


@cache
def _signed_rank_levels(n: int) -> NDArray:
    """P(W <= w) of the sum W of positive ranks if all 2^n patterns of signs are alike."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.zeros_like(counts)
        shifted[rank:] = counts[:-rank]
        counts = (counts + shifted) / 2
    return np.cumsum(counts)


def closest_majority(values: NDArray) -> NDArray:
    """Those values of each row, just over half, that lie closest together (the shorth's half).

    (..., n) -> (..., n // 2 + 1). Andrews et al., 1972, Robust Estimates of Location.
    """
    ordered, kept = np.sort(values, axis=-1), values.shape[-1] // 2 + 1
    widths = ordered[..., kept - 1 :] - ordered[..., : ordered.shape[-1] - kept + 1]
    narrowest = widths.argmin(-1)[..., None] + np.arange(kept)
    return np.take_along_axis(ordered, narrowest, axis=-1)


@cache
def _variance_factor(rounds: int) -> float:
    """Variance of the estimate, per variance of the closest majority; normal noise, simulated.

    It falls as one over the rounds, of which many would take memory.
    """
    simulated = min(rounds, MOST_SIMULATED)
    drawn = np.random.default_rng(0).standard_normal((20_000, simulated))
    estimates = np.concatenate([_middle(_pair_means(part)) for part in np.split(drawn, 20)])
    factor = estimates.var() / closest_majority(drawn).var(axis=-1, ddof=1).mean()
    return float(factor) * simulated / rounds


def compare_runs(a: ArrayLike, b: ArrayLike, run_to_run: float, level: float = 0.95) -> Difference:
    """Ratio b / a of two *separate* runs, from one number per round, at least two of each.

    A run's variance is that of its estimate, plus `run_to_run`^2: a standard deviation of log time
    by which whole runs differ for reasons that no sample within them shows (memory layout,
    frequency, neighbours). Without that allowance the interval is far too narrow. The variance of
    the estimate is taken from the majority of rounds that lies closest together, of 5 rounds or
    more: the estimate leaves a round that was disturbed as a whole aside, so its error must not
    grow by it. The sum is referred to Student's t with degrees of freedom after Satterthwaite
    (1946), the allowance counting as known.
    """
    return compare_many_runs([(a, b, run_to_run)], level)[0]


def compare_many_runs(
    pairs: Iterable[tuple[ArrayLike, ArrayLike, float]], level: float = 0.95
) -> list[Difference]:
    """As `compare_runs` of each a, b and allowance, many times faster than one by one."""
    from scipy.special import stdtr, stdtrit

    of_a, of_b, allowances = tuple(zip(*pairs, strict=True)) or ((), (), ())
    runs = np.array(_summaries([*of_a, *of_b])).reshape(2, -1, 4)  # both, pairs, what is known
    estimates, variances, freedoms, rounds = np.moveaxis(runs, -1, 0)
    d = estimates[1] - estimates[0]
    total = variances.sum(axis=0) + 2 * np.array(allowances, float) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(total > 0, total**2 / (variances**2 / freedoms).sum(axis=0), 1.0)
        p = np.where(total > 0, 2 * stdtr(freedom, -np.abs(d) / total**0.5), d == 0)
    half = stdtrit(freedom, (1 + level) / 2) * total**0.5
    columns = *np.exp((d, d - half, d + half)), p, *rounds.astype(int), allowances
    return [
        Difference(
            Interval(ratio, low, high, level),
            chance,
            f"{m} and {n} rounds, {100 * allowed:.1f} % allowed between runs",
        )
        for ratio, low, high, chance, m, n, allowed in zip(
            *(np.asarray(column).tolist() for column in columns), strict=True
        )
    ]


def _summaries(runs: Sequence[ArrayLike]) -> list[tuple[float, float, float, int]]:
    """Of each run: the estimate of its log time, that estimate's variance and degrees of freedom,
    the number of rounds. Those of equally many rounds are worked out together.
    """
    by_rounds: dict[int, list[int]] = {}
    for i, values in enumerate(runs):
        by_rounds.setdefault(np.size(values), []).append(i)
    found: dict[int, tuple[float, float, float, int]] = {}
    for n, places in by_rounds.items():
        if n < 2:
            raise ValueError("one round shows no spread: measure at least 2 rounds")
        for some in np.array_split(places, -(-len(places) // AT_ONCE)):
            logs = np.log(numbers([np.asarray(runs[i]) for i in some], above=0.0))
            kept = closest_majority(logs) if n >= FEWEST_FOR_MAJORITY else logs
            factor = _variance_factor(n) if n >= FEWEST_FOR_MAJORITY else 1 / n
            freedom = kept.shape[1] - 1
            estimates = _middle(_pair_means(logs)).tolist()
            variances = (kept.var(axis=1, ddof=1) * factor).tolist()
            for i, estimate, variance in zip(some.tolist(), estimates, variances, strict=True):
                found[i] = estimate, variance, freedom, n
    return [found[i] for i in range(len(runs))]
