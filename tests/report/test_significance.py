"""Told apart or not: the table of pairs is that of single tests, corrected together."""

from itertools import combinations

import msgspec
import numpy as np

from lightfer.report.significance import accuracies_apart, accuracy_difference, front
from lightfer.results import Accuracy
from lightfer.results.stats import Interval, holm
from tests.report.made_up import made_up


def accuracies(count: int) -> tuple[Accuracy, ...]:
    return tuple(e.accuracy for e in made_up(count, 1, seed=1).entries if e.accuracy)


def test_pairs_are_those_of_mcnemar_and_holm():
    some = accuracies(12)
    pairs = list(combinations(range(12), 2))
    p = holm([accuracy_difference(some[i], some[j]).p for i, j in pairs])
    table = accuracies_apart(some)
    assert [bool(table[i, j]) for i, j in pairs] == [value < 0.05 for value in p]
    assert 0 < table.sum() < 12 * 11
    assert np.array_equal(table, table.T)


def test_without_images_by_intervals_that_do_not_overlap():
    a, b = (msgspec.structs.replace(x, correct_hex=None) for x in accuracies(2))
    far = msgspec.structs.replace(a, top1=0.9, ci95=(0.89, 0.91))
    assert accuracies_apart((a, far))[0, 1]
    same = msgspec.structs.replace(a, top1=a.top1 + 0.001)
    assert not accuracies_apart((a, same))[0, 1]
    broken = msgspec.structs.replace(b, correct_hex="no digits")
    assert accuracies_apart((broken, far))[0, 1]


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
    costs = [Interval(1.0, 0.9, 1.1), Interval(2.0, 1.9, 2.1)]
    assert front(costs, [better, worse]) == ["front", "dominated"]
    blind = [msgspec.structs.replace(x, correct_hex=None) for x in (better, worse)]
    assert front(costs, blind) == ["front", "tied"]
