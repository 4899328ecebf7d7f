"""Which model to take under limits: one rule, for `choose`, `rank`, the page and the docs.

Of entries of one machine and device. Each accuracy is compared with the highest, image by image;
whether times differ is decided round by round, see `lightfer.report.significance`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lightfer.report.significance import accuracies_differ_from, front, times_differ
from lightfer.results import Accuracy, Entry
from lightfer.results.select import Time, Times, net_names, scored_alike
from lightfer.results.stats import Interval

RULE = (
    "Of the models within the limits, those whose accuracy is not significantly different from the "
    "highest; of these the fastest."
)


@dataclass(frozen=True)
class Limits:
    """What a model may cost and must reach; None is no limit."""

    seconds: float | None = None  # of one image
    stored_bytes: int | None = None
    top1: float | None = None  # a fraction

    def __bool__(self) -> bool:
        return self != Limits()


@dataclass(frozen=True)
class Candidate:
    """An entry with all that the rule looks at."""

    entry: Entry
    accuracy: Accuracy
    timed: Time  # of one image
    stored_bytes: int | None
    name: str  # of the net, and of its training where there are several

    @property
    def time(self) -> Interval:
        """Seconds of one image, with their interval."""
        assert self.timed.interval is not None, "candidates have at least two rounds"
        return self.timed.interval

    def within(self, limits: Limits) -> bool:
        """Whether its estimates keep the limits; an unknown size keeps none."""
        return (
            (limits.seconds is None or self.time.estimate <= limits.seconds)
            and (limits.top1 is None or self.accuracy.top1 >= limits.top1)
            and (
                limits.stored_bytes is None
                or (self.stored_bytes is not None and self.stored_bytes <= limits.stored_bytes)
            )
        )

    def crosses(self, limits: Limits) -> list[str]:
        """What keeps its limit by the estimate, but not by the whole of its interval."""
        slow = limits.seconds is not None and self.time.high > limits.seconds
        wrong = limits.top1 is not None and self.accuracy.ci95[0] < limits.top1
        return ["time"] * slow + ["accuracy"] * wrong


@dataclass(frozen=True)
class Choice:
    """The answer and what it rests on; `pick` is None where nothing keeps the limits."""

    candidates: tuple[Candidate, ...]
    fitting: tuple[Candidate, ...]
    pick: Candidate | None = None
    best: Candidate | None = None  # of the fitting the most accurate
    equals: tuple[Candidate, ...] = ()  # other models not significantly less accurate, as fastest
    faster: tuple[Candidate, ...] = ()  # less accurate ones on the front, significantly faster


def choose(entries: Sequence[Entry], times: Times, limits: Limits | None = None) -> Choice:
    """Apply `RULE` to entries of one machine and device, in whatever runtimes and precisions.

    Only entries whose accuracy is of the images that most were scored on, with at least two rounds
    of one image, are looked at.
    """
    limits = limits or Limits()
    able = _candidates(entries, times)
    fitting = [c for c in able if c.within(limits)]
    if not fitting:
        return Choice(tuple(able), ())
    # Compared among all, whatever the limits: a limit must not change what is significant.
    pool = tuple(dict.fromkeys(c.accuracy for c in able))
    best = max(fitting, key=lambda c: c.accuracy.top1)
    row = accuracies_differ_from(pool)[pool.index(best.accuracy)]
    same = [c for c in fitting if not row[pool.index(c.accuracy)]]
    pick = min(same, key=lambda c: (c.time.estimate, -c.accuracy.top1))
    equals: dict[str, Candidate] = {}
    for c in sorted(same, key=lambda c: c.time.estimate):
        if c.entry.model not in (pick.entry.model, best.entry.model):
            equals.setdefault(c.entry.model, c)
    places = {id(c): i for i, c in enumerate(able)}
    differs = times_differ([c.timed for c in able])[places[id(pick)]]
    standing = front([c.timed for c in fitting], [c.accuracy for c in fitting])
    faster = [
        c
        for c, status in zip(fitting, standing, strict=True)
        if status == "front" and differs[places[id(c)]] and c.time.estimate < pick.time.estimate
    ]
    return Choice(
        candidates=tuple(able),
        fitting=tuple(fitting),
        pick=pick,
        best=best,
        equals=tuple(equals.values()),
        faster=tuple(sorted(faster, key=lambda c: -c.accuracy.top1)),
    )


def stored_bytes(entry: Entry) -> int | None:
    """What has to be stored to run it: the file that the runtime loads, else the weights."""
    if entry.deployed_bytes is not None:
        return entry.deployed_bytes
    return entry.work.weight_bytes if entry.work else None


def _candidates(entries: Sequence[Entry], times: Times) -> list[Candidate]:
    found, names = [], net_names(entries)
    for entry in entries:
        time = times.at(entry)
        if entry.error is None and entry.accuracy is not None and time and time.interval:
            size, name = stored_bytes(entry), names[entry.id]
            found.append(Candidate(entry, entry.accuracy, time, size, name))
    alike = {entry.id for entry in scored_alike(c.entry for c in found)}
    return [c for c in found if c.entry.id in alike]
