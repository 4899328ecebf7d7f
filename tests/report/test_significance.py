"""Significant or not: the table of pairs is that of single tests, corrected together."""

from itertools import combinations

import msgspec
import numpy as np

from lightfer.report.significance import (
    accuracies_differ,
    accuracies_differ_from,
    accuracy_difference,
    front,
    times_differ,
)
from lightfer.results import Accuracy
from lightfer.results.select import Time
from lightfer.results.stats import holm, located
from tests.report.made_up import made_up


def accuracies(count: int) -> tuple[Accuracy, ...]:
    return tuple(e.accuracy for e in made_up(count, 1, seed=1).entries if e.accuracy)


def timed(*rounds: float) -> Time:
    return Time.of([rounds], [rounds], [None])[0]


def test_pairs_of_times_are_those_of_the_paired_test_and_holm():
    random = np.random.default_rng(0)
    mood = np.exp(0.4 * random.standard_normal(5))
    nets = [
        timed(*(mood * speed * np.exp(0.02 * random.standard_normal(5))))
        for speed in (1.0, 1.05, 1.2, 1.5, 2.0)
    ]
    pairs = list(combinations(range(5), 2))
    p = holm([float(located(np.log(nets[j].rounds_s / nets[i].rounds_s))[3]) for i, j in pairs])
    table = times_differ(nets)
    assert [bool(table[i, j]) for i, j in pairs] == [value < 0.05 for value in p]
    assert 0 < table.sum() < 5 * 4
    # The machine's mood, which the pairs share, makes the intervals of each net wide: they overlap.
    a, b = nets[2].interval, nets[3].interval
    assert a is not None
    assert b is not None
    assert a.high > b.low
    assert table[2, 3]


def test_times_of_one_round_or_of_other_rounds_are_not_paired():
    assert not times_differ([timed(1.0), timed(9.0)]).any()
    far = times_differ([timed(1.0, 1.01, 0.99), timed(9.0, 9.1, 9.0), timed(1.0, 1.01)])
    assert far.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


def test_pairs_are_those_of_mcnemar_and_holm():
    some = accuracies(12)
    pairs = list(combinations(range(12), 2))
    p = holm([accuracy_difference(some[i], some[j]).p for i, j in pairs])
    table = accuracies_differ(some)
    assert [bool(table[i, j]) for i, j in pairs] == [value < 0.05 for value in p]
    assert 0 < table.sum() < 12 * 11
    assert np.array_equal(table, table.T)


def test_one_against_the_others_is_those_tests_alone():
    """Nets that nobody asked about made the best and a worse one alike."""
    some = accuracies(12)
    table, pairs = accuracies_differ_from(some), accuracies_differ(some)
    for i in range(12):
        others = [j for j in range(12) if j != i]
        p = holm([accuracy_difference(some[i], some[j]).p for j in others])
        assert [bool(table[i, j]) for j in others] == [value < 0.05 for value in p]
    assert not table.diagonal().any()
    assert (table >= pairs).all()
    assert table.sum() > pairs.sum()


def test_what_stands_there_twice_is_tested_once():
    """One accuracy in three runtimes is no three accuracies."""
    some = accuracies(6)
    for differ in (accuracies_differ, accuracies_differ_from):
        assert np.array_equal(differ(some * 3), np.tile(differ(some), (3, 3)))


def test_without_images_by_intervals_that_do_not_overlap():
    a, b = (msgspec.structs.replace(x, correct_hex=None) for x in accuracies(2))
    far = msgspec.structs.replace(a, top1=0.9, ci95=(0.89, 0.91))
    assert accuracies_differ((a, far))[0, 1]
    same = msgspec.structs.replace(a, top1=a.top1 + 0.001)
    assert not accuracies_differ((a, same))[0, 1]
    broken = msgspec.structs.replace(b, correct_hex="no digits")
    assert accuracies_differ((broken, far))[0, 1]


def test_the_front_uses_the_table():
    """Two accuracies whose intervals overlap, but of the same images: dominated, not tied."""
    a, b = sorted(accuracies(2), key=lambda x: -x.top1)
    images = a.images
    better = msgspec.structs.replace(
        a, top1=0.62, ci95=(0.6, 0.64), correct_hex=f"{(1 << images) - 1:0{-(-images // 4)}x}"
    )
    worse = msgspec.structs.replace(
        b, top1=0.61, ci95=(0.59, 0.63),
        correct_hex=f"{(1 << images) - (1 << 99):0{-(-images // 4)}x}",
    )  # fmt: skip
    costs = [timed(1.0, 1.1, 0.9), timed(2.0, 2.1, 1.9)]
    assert front(costs, [better, worse]) == ["front", "dominated"]
    blind = [msgspec.structs.replace(x, correct_hex=None) for x in (better, worse)]
    assert front(costs, blind) == ["front", "tied"]


def test_more_nets_hide_no_difference_that_any_round_shows():
    """Twelve rounds: the least p of the signed-rank test, times 190 pairs, is above 0.05."""
    random = np.random.default_rng(0)
    nets = [timed(*(2.0**i * np.exp(0.02 * random.standard_normal(12)))) for i in range(20)]
    assert times_differ(nets).sum() == 20 * 19
