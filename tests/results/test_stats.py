"""Statistics against SciPy's own tests, closed forms, and simulations whose truth is known."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from lightfer.report.significance import without_overlap
from lightfer.results.stats import (
    Difference,
    Interval,
    Objective,
    between_seeds,
    closest_majority,
    compare_many_runs,
    compare_proportions,
    compare_runs,
    concordance,
    corrected,
    holm,
    located,
    mcnemar,
    pareto_front,
    prediction_interval,
    rank_correlation,
    time_intervals,
    wilson_interval,
)


def machine(
    rng: np.random.Generator,
    blocks: int,
    passes: int = 50,
    *,
    drift: float = 0.03,
    correlation: float = 0.7,
    bursts: float = 0.1,
) -> np.ndarray:
    """Factors (blocks, passes) by which a shared machine slows each pass.

    Autocorrelated drift from block to block (standard deviation `drift` of the log), one-sided
    noise of single passes, and, in a share `bursts` of the blocks, a neighbour that takes 10 to
    60 % of the speed for a random part of the block.
    """
    level = np.empty(blocks)
    state = rng.standard_normal()
    for i in range(blocks):
        state = correlation * state + (1 - correlation**2) ** 0.5 * rng.standard_normal()
        level[i] = np.exp(drift * state)
    factors = level[:, None] * (1 + rng.gamma(0.5, 0.05, (blocks, passes)))
    for i in np.flatnonzero(rng.random(blocks) < bursts):
        part = int(rng.integers(1, passes + 1))
        factors[i, :part] *= 1 + rng.uniform(0.1, 0.6)
    return factors


def interleaved(rng: np.random.Generator, pairs: int, ratio: float, **noise):
    """Blocks of a and of b, `ratio` times slower, neighbours in random order."""
    factors = machine(rng, 2 * pairs, **noise).reshape(pairs, 2, -1)
    first = rng.random(pairs) < 0.5
    a = np.where(first[:, None], factors[:, 0], factors[:, 1])
    b = np.where(first[:, None], factors[:, 1], factors[:, 0])
    return (0.005 * a).tolist(), (0.005 * ratio * b).tolist()


def compare_paired(a: ArrayLike, b: ArrayLike) -> Difference:
    """Ratio b / a of two nets of one run, from one number per round, as reports test it."""
    estimate, low, high, p = map(float, located(np.log(b) - np.log(a)))
    return Difference(Interval(*np.exp([estimate, low, high]).tolist()), p, "")


def paired(a: list, b: list) -> Difference:
    return compare_paired(np.median(a, axis=1), np.median(b, axis=1))


def test_one_bad_round_of_five_does_not_carry_the_estimate_away():
    assert time_intervals([[1.0, 1.0, 1.0, 1.0, 9.0]])[0].estimate == 1.0
    assert compare_paired([1.0] * 5, [2.0, 2.0, 2.0, 2.0, 9.0]).interval.estimate == pytest.approx(
        2
    )


def test_a_corrected_time_is_raw_times_the_runs_median_yardstick_by_that_rounds():
    raw = np.array([0.010, 0.020, 0.015])
    assert corrected(raw, [1.0, 2.0, 1.5], 1.2).tolist() == pytest.approx([0.012] * 3)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(
        st.floats(-1, 1, allow_subnormal=False).filter(lambda d: abs(d) > 1e-3),
        min_size=12,
        max_size=16,
    )
)
def test_the_signed_rank_test_is_scipys(differences: list[float]):
    """Oracle: scipy.stats.wilcoxon, exact, where no two differences tie."""
    d = np.array(differences) + 1e-6 * np.arange(len(differences))
    found = compare_paired(np.ones(len(d)), np.exp(d))
    if len(set(np.abs(d).round(9))) == len(d):
        expected = scipy_stats.wilcoxon(d, method="exact").pvalue  # pyright: ignore
        assert found.p == pytest.approx(expected, rel=1e-6)
    assert found.interval.low <= found.interval.estimate <= found.interval.high


def test_the_interval_of_twelve_pairs_is_that_of_the_tables():
    """At n = 12 the critical value is 13 (Wilcoxon's table): 13 averages drop out at each end."""
    d = np.arange(1, 13) / 10
    interval = compare_paired(np.ones(12), np.exp(d)).interval
    walsh = sorted((x + y) / 2 for i, x in enumerate(d) for y in d[i:])
    assert np.log([interval.low, interval.high]) == pytest.approx([walsh[13], walsh[-14]])
    assert np.log(interval.estimate) == pytest.approx(0.65)


@settings(deadline=None)
@given(
    st.lists(
        st.floats(-1, 1, allow_subnormal=False).filter(lambda d: abs(d) > 1e-3),
        min_size=2,
        max_size=11,
    )
)
def test_few_pairs_are_tested_by_students_t(differences: list[float]):
    """Oracle: SciPy's t-test, but around the Hodges-Lehmann estimate, which of 2 is the mean."""
    d = np.array(differences)
    found = compare_paired(np.ones(len(d)), np.exp(d))
    if d.std() > 1e-6:
        test = scipy_stats.ttest_1samp(d - d.mean() + np.log(found.interval.estimate), 0)
        assert found.p == pytest.approx(float(test.pvalue), rel=1e-6)  # pyright: ignore
    assert found.interval.low <= found.interval.estimate <= found.interval.high
    if len(d) == 2:
        assert np.log(found.interval.estimate) == pytest.approx(d.mean())


def test_pairs_without_noise():
    assert compare_paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).p == 1.0
    assert compare_paired([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).p == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("rounds", [3, 5, 20])
def test_the_paired_test_keeps_its_level_under_autocorrelated_bursts(
    rounds: int, correlation: float
):
    """Simulated truth: nothing differs. Expected alarms 5 % of 400, bound at 4 sigma."""
    rng = np.random.default_rng(1)
    alarms = covered = 0
    for _ in range(400):
        found = paired(*interleaved(rng, rounds, 1.0, correlation=correlation, drift=0.1))
        alarms += found.p < 0.05
        covered += found.interval.low <= 1 <= found.interval.high
    assert alarms <= 20 + 4 * (400 * 0.05 * 0.95) ** 0.5
    assert covered + alarms == 400


@pytest.mark.parametrize(("ratio", "at_least"), [(1.10, 0.98), (1.03, 0.85)])
def test_the_paired_test_finds_what_it_must(ratio: float, at_least: float):
    """Simulated truth, corrected as the smallest of a family of four."""
    rng = np.random.default_rng(2)
    found = [paired(*interleaved(rng, 20, ratio, drift=0.02, bursts=0.05)) for _ in range(200)]
    assert np.mean([4 * f.p < 0.05 for f in found]) >= at_least
    assert np.median([f.interval.estimate for f in found]) == pytest.approx(ratio, rel=0.005)


@pytest.mark.parametrize(
    ("rounds", "ratio", "at_least"), [(5, 1.25, 0.9), (5, 1.1, 0.5), (3, 1.5, 0.6)]
)
def test_what_few_rounds_find(rounds: int, ratio: float, at_least: float):
    """The power that docs/protocol.md states, on a machine with drift and few bursts."""
    rng = np.random.default_rng(2)
    found = [paired(*interleaved(rng, rounds, ratio, drift=0.02, bursts=0.05)) for _ in range(200)]
    assert np.mean([f.p < 0.05 for f in found]) >= at_least


def nets_beside_a_yardstick(rng: np.random.Generator, rounds: int, nets: int) -> np.ndarray:
    """Corrected times (nets, rounds) of nets that are all alike, on a machine in states."""
    state = np.where(rng.random((rounds, nets)) < 0.3, 1.4, 1.0)
    factors = machine(rng, 2 * rounds * nets, bursts=0.03).reshape(rounds, nets, 2, -1)
    values = np.median(factors[:, :, 0], axis=-1) * state
    beside = np.quantile(factors[:, :, 1], 0.25, axis=-1) * state
    return np.array(
        [corrected(v, y, np.median(beside)) for v, y in zip(values.T, beside.T, strict=True)]
    )


@pytest.mark.parametrize("rounds", [3, 5, 12])
def test_families_of_corrected_rounds_raise_few_alarms(rounds: int):
    """Simulated truth: seven nets alike. At most 5 % of families of 21 pairs hold an alarm."""
    rng = np.random.default_rng(10)
    alarms = 0
    for _ in range(300):
        logs = np.log(nets_beside_a_yardstick(rng, rounds, 7))
        first, second = np.triu_indices(7, 1)
        alarms += min(holm(located(logs[second] - logs[first])[3])) < 0.05
    assert alarms <= 15 + 4 * (300 * 0.05 * 0.95) ** 0.5


def run(rng: np.random.Generator, ratio: float, between: float, rounds: int = 5) -> np.ndarray:
    """One `lightfer bench`: rounds far enough apart to be nearly independent, and the run's own."""
    own = np.exp(between * rng.standard_normal())
    return np.median(0.005 * ratio * own * machine(rng, rounds, correlation=0.2), axis=1)


@pytest.mark.parametrize(("rounds", "between"), [(3, 0.0), (3, 0.04), (5, 0.04), (10, 0.04)])
def test_separate_runs_raise_few_alarms(rounds: int, between: float):
    rng = np.random.default_rng(3)
    pairs = [(run(rng, 1.0, between, rounds), run(rng, 1.0, between, rounds)) for _ in range(400)]
    alarms = np.mean([compare_runs(a, b, 0.04).p < 0.05 for a, b in pairs])
    assert alarms <= 0.07


def test_without_the_allowance_between_runs_alarms_are_many():
    rng = np.random.default_rng(3)
    pairs = [(run(rng, 1.0, 0.04), run(rng, 1.0, 0.04)) for _ in range(400)]
    naive = [scipy_stats.ttest_ind(a, b)[1] < 0.05 for a, b in pairs]  # pyright: ignore
    assert np.mean(naive) > 0.2


def test_separate_runs_find_thirty_percent():
    """Simulated truth: 18 of 20 is the promise; Holm over two batch sizes doubles the p-value."""
    rng = np.random.default_rng(4)
    pairs = [(run(rng, 1.0, 0.04), run(rng, 1.3, 0.04)) for _ in range(400)]
    assert np.mean([2 * compare_runs(a, b, 0.04).p < 0.05 for a, b in pairs]) >= 0.9


def run_in_states(rng: np.random.Generator, ratio: float) -> np.ndarray:
    """Times of one run relative to its yardstick, on a machine 40 % slower in some of its rounds.

    The model and the yardstick feel the state alike, and the drift from second to second nearly;
    3 % of each run is the model's own.
    """
    state = np.where(rng.random(5) < rng.choice([0.0, 0.3, 1.0]), 1.4, 1.0)
    own = ratio * np.exp(0.03 * rng.standard_normal())
    pairs = machine(rng, 10, correlation=0.9).reshape(5, 2, -1)
    blocks = 0.005 * own * state[:, None] * pairs[:, 1]
    beside = 0.003 * state * np.quantile(pairs[:, 0], 0.25, axis=1)
    return np.median(blocks, axis=1) / beside


@pytest.mark.parametrize(("ratio", "low", "high"), [(1.0, 0.0, 0.07), (1.3, 0.9, 1.0)])
def test_a_yardstick_takes_the_state_of_the_machine_out(ratio: float, low: float, high: float):
    """Simulated truth: few alarms between runs alike, 30 % found, both in states by chance."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        a, b = run_in_states(rng, 1.0), run_in_states(rng, ratio)
        found.append(2 * compare_runs(a, b, 0.05).p < 0.05)
    assert low <= np.mean(found) <= high


def test_many_intervals_at_once_are_those_of_each_net():
    for rounds in (2, 5, 12):
        values = np.exp(np.random.default_rng(3).standard_normal((5000, rounds)))
        for i, found in enumerate(time_intervals(values)[::499]):
            (one,) = time_intervals(values[499 * i : 499 * i + 1])
            assert (found.estimate, found.low, found.high) == pytest.approx(
                (one.estimate, one.low, one.high)
            )
    with pytest.raises(ValueError, match="at least 2 rounds"):
        time_intervals([[1.0], [2.0]])


def test_the_closest_majority():
    rows = np.array([[5.0, 1.0, 1.1], [9.0, 1.0, 8.9], [3.0, 2.0, 1.5]])
    assert closest_majority(rows).tolist() == [[1.0, 1.1], [8.9, 9.0], [1.5, 2.0]]
    assert closest_majority(np.array([1.0, 1.2, 5.0, 5.1, 5.2])).tolist() == [5.0, 5.1, 5.2]


def test_a_yardstick_is_needed_beside_each_round():
    with pytest.raises(ValueError, match="1 yardsticks beside 2 rounds"):
        corrected(np.ones(2), [1.0], 1.0)


def test_many_pairs_of_runs_at_once_are_those_of_each_pair():
    rng = np.random.default_rng(7)
    drawn = rng.integers(2, 15, (60, 2)), rng.choice([0.0, 0.03, 0.12], 60)
    pairs = [
        (np.exp(0.1 * rng.standard_normal(m)), np.exp(0.1 * rng.standard_normal(n)), allowed)
        for (m, n), allowed in zip(*drawn, strict=True)
    ]
    for found, pair in zip(compare_many_runs(pairs), pairs, strict=True):
        one = compare_runs(*pair)
        assert found.method == one.method
        assert (found.p, *astuple(found.interval)) == pytest.approx((one.p, *astuple(one.interval)))
    assert compare_many_runs([]) == []


def test_separate_runs_without_noise():
    same = compare_runs([1.0, 1.0], [1.0, 1.0], 0.0)
    assert (same.p, same.interval.low, same.interval.high) == (1.0, 1.0, 1.0)
    assert compare_runs([1.0, 1.0], [2.0, 2.0], 0.0).p == 0.0
    with pytest.raises(ValueError, match="at least 2 rounds"):
        compare_runs([1.0], [1.0, 1.0], 0.04)


@pytest.mark.parametrize("rounds", [2, 3, 5, 11, 12, 20])
def test_the_interval_of_a_time_covers_the_truth(rounds: int):
    """Simulated truth: log-normal rounds around 5 ms. Expected 95 %, bound at 4 sigma."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(1000):
        (found,) = time_intervals(0.005 * np.exp(0.05 * rng.standard_normal((1, rounds))))
        inside += found.low <= 0.005 <= found.high
    assert inside / 1000 >= 0.95 - 4 * (0.95 * 0.05 / 1000) ** 0.5


def test_single_passes_as_the_unit_would_cover_far_too_little():
    """Why the round is the unit: resampled pass by pass, the interval is nearly always wrong."""
    rng = np.random.default_rng(6)
    inside = 0
    for _ in range(50):
        level = 0.005 * np.exp(0.05 * rng.standard_normal((10, 1)))
        passes = level * np.exp(0.01 * rng.standard_normal((10, 50)))
        low, high = scipy_stats.bootstrap(
            (passes.ravel(),), np.median, n_resamples=200, method="percentile", rng=rng
        ).confidence_interval
        inside += low <= 0.005 <= high
    assert inside < 30


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_errs_in_five_percent_of_families():
    rng = np.random.default_rng(7)
    families = rng.random((2000, 10))
    assert np.mean([holm(f).min() < 0.05 for f in families]) == pytest.approx(0.05, abs=0.012)


def test_mcnemar_by_hand():
    """P = 2 x (1 + 5) / 2^5 for 1 against 4; no discordant image is no evidence."""
    found = mcnemar(1, 4, 100)
    assert found.p == pytest.approx(2 * 6 / 32)
    assert found.interval.estimate == pytest.approx(0.03)
    assert mcnemar(0, 0, 100).p == 1.0
    with pytest.raises(ValueError, match="discordant"):
        mcnemar(60, 60, 100)


def test_mcnemar_covers_and_is_narrower_than_unpaired():
    """Simulated truth: two nets that agree on most of 3,589 images, b better by one point."""
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(400):
        _, only_a, only_b, _ = rng.multinomial(3589, [0.55, 0.07, 0.08, 0.30])
        found = mcnemar(int(only_a), int(only_b), 3589).interval
        inside += found.low <= 0.01 <= found.high
    assert inside / 400 == pytest.approx(0.95, abs=0.035)
    paired = mcnemar(251, 287, 3589)
    unpaired = compare_proportions(2225, 3589, 2261, 3589)
    assert unpaired.interval.estimate == pytest.approx(paired.interval.estimate)
    assert unpaired.interval.high - unpaired.interval.low > 1.5 * (
        paired.interval.high - paired.interval.low
    )


def test_newcombes_published_example():
    """Newcombe (1998), table II, row a: 56/70 - 48/80 = 0.20, method 10: 0.0524 to 0.3339."""
    found = compare_proportions(48, 80, 56, 70).interval
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert compare_proportions(5, 5, 5, 5).p == 1.0


@pytest.mark.parametrize(("hits", "images"), [(0, 7), (7, 7), (1, 3), (2400, 3589), (48, 48)])
def test_wilsons_interval_is_that_of_the_formula_and_ends_at_0_and_1(hits: int, images: int):
    p, z = hits / images, 1.959963984540054
    center, spread = p + z * z / (2 * images), p * (1 - p) / images + (z / (2 * images)) ** 2
    bounds = [(center + sign * z * spread**0.5) / (1 + z * z / images) for sign in (-1, 1)]
    low, high = wilson_interval(hits, images)
    assert (low, high) == pytest.approx(bounds, abs=1e-12)
    assert low <= p <= high


def test_hits_of_a_rounded_share_are_whole():
    assert compare_proportions(0.6386 * 7178, 7178, 0.7 * 10, 10) == compare_proportions(
        4584, 7178, 7, 10
    )


def exact(values: list[float]) -> Objective:
    """Values without noise."""
    v = np.array(values)
    return Objective(tuple(values), v[:, None] != v[None, :])


def of_intervals(intervals: list[Interval], sign: float = 1.0) -> Objective:
    return Objective(tuple(sign * i.estimate for i in intervals), without_overlap(intervals))


def test_the_front_with_ties():
    """Times against errors: a and b differ from all, c is beaten by a within the noise."""
    times = of_intervals(
        [
            Interval(1, 0.9, 1.1),
            Interval(3, 2.9, 3.1),
            Interval(1.05, 0.95, 1.15),
            Interval(5, 4, 6),
        ]
    )
    accuracies = [
        Interval(0.60, 0.59, 0.61), Interval(0.65, 0.64, 0.66),
        Interval(0.59, 0.58, 0.60), Interval(0.55, 0.54, 0.56),
    ]  # fmt: skip
    assert pareto_front([times, of_intervals(accuracies, -1.0)]) == [
        "front", "front", "tied", "dominated",
    ]  # fmt: skip
    assert pareto_front([exact([1, 1]), exact([2, 3])]) == [
        "front",
        "dominated",
    ]
    assert pareto_front([exact([1, 1])]) == ["front", "front"]
    near = of_intervals([Interval(2, 1.9, 2.1), Interval(2.05, 1.95, 2.15)])
    assert pareto_front([exact([1, 1]), near]) == ["front", "tied"]  # equal, and not decided


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=12))
def test_rho_is_scipys(pairs: list[tuple[int, int]]):
    x, y = zip(*pairs, strict=True)
    if len(set(x)) == 1 or len(set(y)) == 1:
        with pytest.raises(ValueError, match="constant"):
            rank_correlation(x, y, permutations=9)
        return
    found = rank_correlation(x, y, permutations=99).interval
    assert found.estimate == pytest.approx(scipy_stats.spearmanr(x, y).statistic)  # pyright: ignore
    assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_few_models_are_permuted_in_every_order():
    """Of four in perfect order 2 of 24 permutations are as extreme."""
    assert rank_correlation([1, 2, 3, 4], [5, 6, 7, 8]).p == pytest.approx(2 / 24)
    assert rank_correlation([1, 2, 3, 4], [8, 7, 6, 5]).p == pytest.approx(2 / 24)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=9))
def test_p_is_that_of_scipys_permutations(pairs: list[tuple[int, int]]):
    x, y = (scipy_stats.rankdata(column) for column in zip(*pairs, strict=True))
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    found = scipy_stats.permutation_test(
        (y,), lambda rows, axis: np.abs((rows - rows.mean()) @ (x - x.mean())),
        permutation_type="pairings", alternative="greater", n_resamples=9999, vectorized=True,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    # Of up to 7 items all orders are tried, of more 9,999 are drawn: four standard errors.
    tolerance = 1e-9 if len(x) <= 7 else 4 * (0.25 / 9999) ** 0.5
    assert rank_correlation(x, y).p == pytest.approx(found.pvalue, abs=tolerance)


def test_rank_correlation_of_ten_models_is_wide_and_keeps_its_level():
    """Simulated truth: normal pairs, whose rho is 6 / pi asin(r / 2)."""
    rng = np.random.default_rng(9)
    r, inside, alarms, widths = 0.7, 0, 0, []
    truth = 6 / np.pi * np.arcsin(r / 2)
    for _ in range(400):
        x, noise = rng.standard_normal((2, 10))
        found = rank_correlation(x, r * x + (1 - r * r) ** 0.5 * noise, permutations=19)
        inside += found.interval.low <= truth <= found.interval.high
        widths.append(found.interval.high - found.interval.low)
        alarms += rank_correlation(x, noise, permutations=199).p <= 0.05
    assert inside / 400 >= 0.92
    assert alarms / 400 <= 0.09
    assert np.median(widths) > 0.7
    with pytest.raises(ValueError, match="at least 4"):
        rank_correlation([1, 2, 3], [1, 2, 3])


def test_spread_between_seeds_is_that_of_a_variance_analysis():
    a, b = [64.5, 63.8, 64.6], [58.7, 59.2]
    spread = between_seeds([a, [66.1], b])
    assert spread
    assert (spread.nets, spread.freedom) == (2, 3)
    within = sum((x - np.mean(of)) ** 2 for of in (a, b) for x in of) / 3
    assert spread.deviation == pytest.approx(within**0.5)
    assert spread.least == pytest.approx(scipy_stats.t.ppf(0.975, 3) * (2 * within) ** 0.5)
    assert between_seeds([[66.1], [58.7]]) is None


def test_single_trainings_of_equal_nets_differ_by_more_in_one_of_twenty():
    rng, found = np.random.default_rng(3), 0
    for _ in range(2000):
        seeds = rng.normal(65, 0.5, (4, 3))
        spread = between_seeds(seeds.tolist())
        assert spread
        found += abs(np.diff(rng.normal(65, 0.5, 2))[0]) > spread.least
    assert 0.035 < found / 2000 < 0.065


def test_one_more_seed_lies_in_the_prediction_interval_nineteen_times_of_twenty():
    rng, inside = np.random.default_rng(5), 0
    for _ in range(2000):
        *stated, other = rng.normal(65, 0.5, 4).tolist()
        found = prediction_interval(stated)
        inside += found.low <= other <= found.high
    assert 0.935 < inside / 2000 < 0.965
    with pytest.raises(ValueError, match="at least 2"):
        prediction_interval([65.0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_not_computed_with(wrong: float):
    """A rank correlation with NaN had p = 1, intervals were NaN."""
    odd = [1.0, 2.0, 3.0, wrong]
    for compute in (
        lambda: rank_correlation(odd, [1, 2, 3, 4]),
        lambda: rank_correlation([1, 2, 3, 4], odd),
        lambda: concordance([odd] * 3),
        lambda: time_intervals([odd]),
        lambda: compare_runs(odd, [1, 2], 0.1),
    ):
        with pytest.raises(ValueError, match=f"found {wrong}, expected finite numbers"):
            compute()


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_time_is_above_0(seconds: float):
    with pytest.raises(ValueError, match=r"expected finite numbers above 0"):
        time_intervals([[1.0, seconds]])
    with pytest.raises(ValueError, match=r"expected finite numbers above 0"):
        compare_runs([1.0, 2.0], [1.0, seconds], 0.1)


def test_many_rounds_take_no_memory_and_are_as_sure_as_the_normal_law_says():
    """The pseudomedian's variance falls as one over the rounds; 100 rounds took 800 MB."""
    from lightfer.results.stats.times import _variance_factor

    ratios = [n * _variance_factor(n) for n in (40, 60, 10_000)]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.1)
    assert ratios[2] == ratios[1]
