"""Entries by what may be compared with one another, several trainings of one net, and times."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightfer._files import plain_name
from lightfer.results.schema import Accuracy, Entry, Environment, Latency, Results, WeightCard
from lightfer.results.stats import Interval, corrected, time_intervals

SHORTEST_S, LONGEST_S = 1e-9, 1e6  # of a pass: what lies beyond is no time
IN_BROWSERS = "onnxruntime-web"  # the package; its runtimes' names begin so
RUNTIMES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


class Variant(NamedTuple):
    """What the times of entries must share: a machine and run, a device, runtime and precision."""

    environment: str
    device: str
    runtime: str
    precision: str


def variant(entry: Entry) -> Variant:
    """Where an entry belongs."""
    return Variant(entry.environment, entry.device, entry.runtime, entry.precision)


def by_variant(entries: Iterable[Entry]) -> dict[Variant, list[Entry]]:
    """Entries by what may be compared, in their order."""
    found: dict[Variant, list[Entry]] = {}
    for entry in entries:
        found.setdefault(variant(entry), []).append(entry)
    return found


def scored_on(accuracy: Accuracy) -> tuple:
    """What accuracies must share to be compared: images, labels and view."""
    a = accuracy
    return a.split, a.labels, a.data_sha256, a.view, a.images


def scored_alike(entries: Iterable[Entry]) -> list[Entry]:
    """Those with an accuracy on the images and labels that most of them were scored on."""
    scored = [(e, scored_on(e.accuracy)) for e in entries if e.accuracy]
    if not scored:
        return []
    most = Counter(kind for _, kind in scored).most_common(1)[0][0]
    return [entry for entry, kind in scored if kind == most]


def net_names(entries: Sequence[Entry]) -> dict[str, str]:
    """Id -> the model's name, and where others of its name stand beside it what tells them apart:
    the seed; of other trainings the recipe too; the beginning of the weights' hash.
    """
    by_model: dict[str, list[Entry]] = {}
    for entry in entries:
        by_model.setdefault(entry.model, []).append(entry)
    found = {}
    for model, same in by_model.items():
        kinds = len({(variant(e), e.weights) for e in same})
        for told in _TOLD:
            names = {e.id: model + told(e) for e in same}
            if len({(variant(e), names[e.id]) for e in same}) == kinds:
                break
        found |= names  # pyright: ignore[reportPossiblyUnboundVariable]
    return found


def _seed(entry: Entry) -> str:
    return "random weights" if entry.seed is None else f"seed {entry.seed}"


_TOLD: tuple[Callable[[Entry], str], ...] = (
    lambda e: "",
    lambda e: f", {_seed(e)}",
    lambda e: f", {e.recipe}, {_seed(e)}",
    lambda e: f", {e.weights[:8] if e.weights else 'random weights'}",
)


def trainings(entries: Iterable[Entry], cards: Mapping[str, WeightCard]) -> list[list[Entry]]:
    """Trainings of one net that differ in their seed alone, as far as is known, and were measured
    alike without a failure: groups of two or more. Where weights of one seed differ, it is not the
    seed that they differ by, and which of them belongs to the others nobody can tell: no group.
    """
    found: dict[tuple, dict[str, Entry]] = {}
    for entry in entries:
        if entry.weights and entry.error is None:
            how = _trained(cards.get(entry.weights))
            key = (*variant(entry), entry.model, entry.recipe, how)
            found.setdefault(key, {}).setdefault(entry.weights, entry)
    groups = [list(group.values()) for group in found.values() if len(group) > 1]
    return [group for group in groups if len({e.seed for e in group}) == len(group)]


def _trained(card: WeightCard | None) -> bytes:
    """What a card says that decides about a training, beside its recipe's name and its seed."""
    if card is None:
        return b""
    settings = {name: value for name, value in card.settings.items() if name != "seed"}
    told = card.data, card.trained_on, card.chosen_on, card.distillation, settings
    return msgspec.json.encode(told, order="deterministic")


def mean_spread(values: Iterable[float | None]) -> tuple[float, float] | None:
    """Mean and standard deviation over trainings; None unless all of two or more are known."""
    known = list(values)
    numbers = [value for value in known if value is not None]
    return (fmean(numbers), stdev(numbers)) if len(numbers) == len(known) > 1 else None


def corrupted_top1(entry: Entry) -> dict[str, float]:
    """Kind of corruption -> the mean top-1 over its strengths; empty where it was not scored."""
    found: dict[str, list[float]] = {}
    for accuracy in entry.accuracy_other:
        if accuracy.corruption:
            found.setdefault(accuracy.corruption.rpartition(" ")[0], []).append(accuracy.top1)
    return {kind: fmean(shares) for kind, shares in found.items()}


def mean_corrupted_top1(entry: Entry) -> float | None:
    """The mean over the kinds of corruption; None where it was not scored."""
    found = corrupted_top1(entry)
    return fmean(found.values()) if found else None


def over_nets(
    entries: Iterable[Entry],
    x: Callable[[Entry], float | None],
    y: Callable[[Entry], float | None],
) -> list[tuple[float, float]]:
    """Both values of each net that has them, the mean of several trainings of it, on whatever
    labels: these are one net, and would count as several in a correlation.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        a, b = x(entry), y(entry)
        if a is not None and b is not None:
            found.setdefault(plain_name(entry.model), []).append((a, b))
    return [(fmean(a for a, _ in pairs), fmean(b for _, b in pairs)) for pairs in found.values()]


def wall(entry: Entry, batch_size: int = 1) -> Latency | None:
    """What was timed at a batch size by the wall clock."""
    of_size = (t for t in entry.latency if t.batch_size == batch_size)
    return next((t for t in of_size if t.clock == "wall"), None)


@dataclass(frozen=True, eq=False)
class Time:
    """Seconds of one pass: of each round, and what they say together."""

    raw_rounds_s: NDArray  # the median of each round's passes
    rounds_s: NDArray  # the same, corrected by the yardstick where there is one
    reference_s: float | None  # the yardstick's median over the run; None: not corrected
    interval: Interval | None  # what is quoted, with its 95 % interval; None of a single round
    raw: Interval | None  # the same of the rounds as they were

    @staticmethod
    def of(raw: ArrayLike, values: ArrayLike, references: Sequence[float | None]) -> "list[Time]":
        """Of nets with equally many rounds, raw and as they are quoted, each (nets, rounds)."""
        rows = np.array(raw, float), np.array(values, float)
        if rows[0].shape[1] > 1:
            intervals = map(time_intervals, rows)
        else:
            intervals = ([None] * len(references) for _ in rows)
        own, quoted = intervals
        return [Time(*each) for each in zip(*rows, references, quoted, own, strict=True)]

    @property
    def corrected(self) -> bool:
        """Whether a yardstick was timed beside each round."""
        return self.reference_s is not None

    def uncorrected(self) -> "Time":
        """The same without its yardstick."""
        return Time(self.raw_rounds_s, self.raw_rounds_s, None, self.raw, self.raw)

    @property
    def estimate_s(self) -> float:
        """What is quoted, of any number of rounds."""
        return self.interval.estimate if self.interval else float(self.rounds_s[0])

    @property
    def raw_s(self) -> float:
        return self.raw.estimate if self.raw else float(self.raw_rounds_s[0])


def yardstick_runtime(entry: Entry, about: Environment) -> str:
    """The runtime that computed the yardstick beside an entry: its own in a browser, and if the
    yardstick's description names it, else eager PyTorch.
    """
    if entry.runtime.startswith(IN_BROWSERS):
        return IN_BROWSERS
    own = RUNTIMES.get(entry.runtime)
    return entry.runtime if own and own in (about.yardstick or "") else "pytorch"


_Row = tuple[Any, NDArray, NDArray, float | None]  # whose it is, raw, as quoted, the reference


def _worked_out(rows: Iterable[_Row]) -> Iterator[tuple[Any, Time]]:
    """All of them at once: one by one thousands take a hundred times as long."""
    by_rounds: dict[int, list[_Row]] = {}
    for row in rows:
        by_rounds.setdefault(len(row[1]), []).append(row)
    for same in by_rounds.values():
        owners, *columns = zip(*same, strict=True)
        yield from zip(owners, Time.of(*columns), strict=True)


class Times:
    """The times of all entries of a results file, each corrected by the yardstick of its run."""

    def __init__(self, results: Results) -> None:
        self._environments = results.environments
        beside: dict[tuple, list[float]] = {}
        for entry in results.entries:
            for latency in entry.latency:
                if key := self._yardstick(entry, latency):
                    beside.setdefault(key, []).extend(latency.yardstick_s or ())
        self._references = {key: median(seconds) for key, seconds in beside.items()}
        self._entries = results.entries
        self._images: dict[str, Time] | None = None  # by the entry's id
        self._found: dict[int, tuple[Latency, Time | None]] = {}  # by the latency's identity
        self._add([(e, latency) for e in results.entries for latency in e.latency])

    def of(self, entry: Entry, latency: Latency | None) -> Time | None:
        """One of an entry's times; None where it has none that means anything."""
        if latency is None:
            return None
        if id(latency) not in self._found:
            self._add([(entry, latency)])
        return self._found[id(latency)][1]

    def at(self, entry: Entry, batch_size: int = 1) -> Time | None:
        """An entry's time at a batch size by the wall clock."""
        return self.of(entry, wall(entry, batch_size))

    def all_images(self, entry: Entry) -> Time | None:
        """Of classifying all images once, corrected by the yardstick beside the same batch size."""
        if self._images is None:
            rows = [row for e in self._entries if (row := self._of_all_images(e))]
            self._images = dict(_worked_out(rows))
        return self._images.get(entry.id)

    def _of_all_images(self, entry: Entry) -> _Row | None:
        if not entry.inference_rounds_s or not entry.inference_batch_size:
            return None
        raw = np.array(entry.inference_rounds_s)
        if raw.min() < SHORTEST_S or raw.max() > LONGEST_S:
            return None
        beside = wall(entry, entry.inference_batch_size)
        if beside and beside.rounds != len(raw):
            beside = None
        return entry.id, raw, *self._quoted(entry, beside, raw)

    def seconds(self, entry: Entry, batch_size: int = 1) -> float | None:
        """What is quoted of it."""
        time = self.at(entry, batch_size)
        return time and time.estimate_s

    def about(self, entry: Entry) -> Environment:
        """The machine and software of an entry. Raises KeyError if its file does not hold them."""
        return self._environments[entry.environment]

    def _add(self, pairs: Iterable[tuple[Entry, Latency]]) -> None:
        rows: list[_Row] = []
        for entry, latency in pairs:
            self._found[id(latency)] = latency, None
            medians = latency.medians()
            if medians and min(medians) >= SHORTEST_S and max(medians) <= LONGEST_S:
                raw = np.array(medians)
                rows.append((latency, raw, *self._quoted(entry, latency, raw)))
        for latency, time in _worked_out(rows):
            self._found[id(latency)] = latency, time

    def _quoted(
        self, entry: Entry, beside: Latency | None, raw: NDArray
    ) -> tuple[NDArray, float | None]:
        """Times of rounds as they are quoted, by the yardstick's times beside them, and its
        median; as they are where there are none.
        """
        key = beside and self._yardstick(entry, beside)
        if not beside or not key:
            return raw, None
        reference = self._references[key]
        return corrected(raw, beside.yardstick_s or (), reference), reference

    def _yardstick(self, entry: Entry, latency: Latency) -> tuple | None:
        """Of which yardstick's times those beside each round are; None if there are none."""
        beside = latency.yardstick_s
        if not beside or len(beside) != latency.rounds:
            return None
        if min(beside) < SHORTEST_S or max(beside) > LONGEST_S:
            return None
        about: Environment | None = self._environments.get(entry.environment)
        if about is None or about.yardstick is None:
            return None
        sizes = latency.batch_size, latency.threads, latency.clock
        return (entry.environment, entry.device, yardstick_runtime(entry, about), *sizes)
