"""Figures of an entry that follow from others of it, and those that are none of their sum.

A figure that is null is unknown, and contradicts nothing. What is rounded to six digits is near.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, TypeVar

from lightfer.results.energy import TEST_IMAGES, Carbon, Energy, Training
from lightfer.results.schema import Accuracy, Entry, Latency
from lightfer.results.select import LONGEST_S, SHORTEST_S

CLOCK_S = 1e-9  # samples are rounded to it
PERCENTILES = (("p50_s", 0.5), ("p90_s", 0.9), ("p99_s", 0.99))

_T = TypeVar("_T")
_Figures = Iterable[tuple[str, float | None, float | None]]  # name, found, expected


def near(a: float, b: float) -> bool:
    """Whether two figures are the same but for rounding."""
    return math.isclose(a, b, rel_tol=3e-6, abs_tol=1e-12)


def contradictions(entry: Entry) -> Iterator[tuple[str, str]]:
    """Where in the entry a figure contradicts others, as `accuracy.macro_f1`, and in what way."""
    accuracies = placed("accuracy", entry.accuracy, entry.accuracy_other)
    for where, accuracy in accuracies:
        yield from _wrong(where, _scores(accuracy), "by the confusion matrix")
    for i, latency in enumerate(entry.latency):
        yield from _times(latency, f"latency[{i}]")
    for where, energy in placed("energy", entry.energy, entry.energy_other):
        yield from _wrong(where, _totals(energy), "by the components that are included")
        yield from _wrong(where, _blocks(energy), "by the blocks")
    gross = entry.energy and entry.energy.gross
    joules = gross.joules_per_image if gross else None
    if entry.carbon:
        factors = "by gross energy, intensity and PUE"
        yield from _wrong("carbon", _emissions(entry.carbon, joules), factors)
        if entry.training:
            yield from _wrong("training", _cost(entry.training, entry.carbon, joules), "by joules")


def placed(name: str, first: _T | None, others: Sequence[_T]) -> Iterator[tuple[str, _T]]:
    """What stands in an entry once and as others, each with its place."""
    if first is not None:
        yield name, first
    yield from ((f"{name}_other[{i}]", other) for i, other in enumerate(others))


def _wrong(where: str, figures: _Figures, by: str) -> Iterator[tuple[str, str]]:
    for name, found, expected in figures:
        if found is not None and (expected is None or not near(found, expected)):
            shown = "null" if expected is None else expected
            yield f"{where}.{name}", f"found {found}, expected {shown} {by}"


def _scores(accuracy: Accuracy) -> _Figures:
    confusion, scores = accuracy.confusion, accuracy.per_class
    if not confusion or any(len(row) != len(confusion) for row in confusion):
        return
    known = class_figures(confusion)
    recall = mean_of_known(of["recall"] for of in known)
    yield "macro_f1", accuracy.macro_f1, mean_of_known(of["f1"] for of in known)
    yield "balanced_accuracy", accuracy.balanced_accuracy, recall
    if scores is None:
        return
    yield "per_class", len(scores), len(confusion)
    for i, (score, of) in enumerate(zip(scores, known, strict=False)):
        for name, value in of.items():
            yield f"per_class[{i}].{name}", getattr(score, name), value


def class_figures(confusion: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """The figures of `ClassScore` of each class, of [true class][predicted class]."""
    hits = [row[i] for i, row in enumerate(confusion)]
    true, guessed = map(sum, confusion), map(sum, zip(*confusion, strict=True))
    return [
        {
            "images": t,
            "precision": h / g if g > 0 else None,
            "recall": h / t if t > 0 else None,
            "f1": 2 * h / (t + g) if t + g > 0 else None,
        }
        for h, t, g in zip(hits, true, guessed, strict=True)
    ]


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Over the classes for which the figure exists."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _times(latency: Latency, where: str) -> Iterator[tuple[str, str]]:
    """Percentiles and throughput are of all passes, of which the samples are evenly spaced ranks:
    they are not bounded by them but where enough samples are there.
    """
    visits = latency.visits()
    for name, p in PERCENTILES:
        values = getattr(latency, name) or ()
        for i, (value, samples) in enumerate(zip(values, visits, strict=False)):
            if value is None:
                continue
            low = min(samples) - CLOCK_S if len(samples) > 2 else SHORTEST_S
            high = max(samples) + CLOCK_S if len(samples) * (1 - p) > 1 else LONGEST_S
            if not max(low, SHORTEST_S) <= value <= high:
                expected = f"expected {low:g} to {high:g}, as its samples"
                yield f"{where}.{name}[{i}]", f"found {value}, {expected}"
    known = [(n, values) for n, _ in PERCENTILES if (values := getattr(latency, n))]
    for (less, below), (more, above) in pairwise(known):
        for i, (a, b) in enumerate(zip(below, above, strict=False)):
            if a is not None and b is not None and a > b and not near(a, b):
                yield f"{where}.{more}[{i}]", f"found {b}, expected at least {less}, {a}"
    if latency.images_per_s is not None and visits:
        size, fastest = len(visits[0]), min(latency.samples_s)
        least = max(fastest * max(0.5, 1 - 1 / size) * 0.99, SHORTEST_S)  # seconds a pass, on mean
        most = latency.batch_size / least
        if not latency.batch_size / LONGEST_S <= latency.images_per_s <= most:
            expected = f"expected above 0 and at most {most:.6g}, by the fastest sample"
            yield f"{where}.images_per_s", f"found {latency.images_per_s}, {expected}"


def _totals(energy: Energy) -> _Figures:
    parts = energy.included().values()
    gross = energy.gross.joules_per_image if energy.gross else None
    if gross is not None:
        yield "gross.joules_per_image", gross, _sum(part.joules_per_image for part in parts)
    if energy.net and parts:
        net = _sum(part.net_joules_per_image for part in parts)
        yield "net.joules_per_image", energy.net.joules_per_image, net
    yield "kwh_test_set", energy.kwh_test_set, gross and gross * TEST_IMAGES / 3.6e6


def _blocks(energy: Energy) -> _Figures:
    if energy.blocks and energy.gross and (joules := energy.gross_of_blocks()):
        yield "gross.joules_per_image", energy.gross.joules_per_image, fmean(joules)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [*values]
    return None if None in known or not known else sum(v for v in known if v is not None)


def _emissions(carbon: Carbon, joules: float | None) -> _Figures:
    """`joules` are gross, of one image."""
    kwh = None if joules is None else joules / 3.6e6 * 1000 * carbon.pue  # of 1,000 images

    def grams(intensity: float) -> float | None:
        return None if kwh is None else kwh * intensity

    own = grams(carbon.intensity.g_co2e_per_kwh)
    yield "g_co2e_per_1000_images", carbon.g_co2e_per_1000_images, own
    total = None if own is None else own * TEST_IMAGES / 1e6
    yield "kg_co2e_test_set", carbon.kg_co2e_test_set, total
    for i, other in enumerate(carbon.sensitivity):
        name = f"sensitivity[{i}].g_co2e_per_1000_images"
        yield name, other.g_co2e_per_1000_images, grams(other.intensity.g_co2e_per_kwh)
    if sci := carbon.sci:
        yield "sci.energy_kwh", sci.energy_kwh, kwh
        score = grams(sci.intensity_g_co2e_per_kwh)
        score = None if score is None else score + (sci.embodied_g_co2e or 0)
        yield "sci.g_co2e_per_1000_faces", sci.g_co2e_per_1000_faces, score


def _cost(training: Training, carbon: Carbon, each: float | None) -> _Figures:
    """`each` is gross joules of one image."""
    joules = training.energy.joules
    if joules is not None:
        kg = joules / 3.6e6 * carbon.pue * carbon.intensity.g_co2e_per_kwh / 1000
        yield "kwh", training.kwh, joules / 3.6e6
        yield "kg_co2e", training.kg_co2e, kg
        yield "images_until_repaid", training.images_until_repaid, joules / each if each else None
