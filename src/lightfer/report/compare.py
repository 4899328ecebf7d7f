"""What changed between two results files, and whether that can be told from noise.

Entries are matched by model, device, runtime, precision and weights; what was timed by batch size
and threads; accuracies by split, labels, view and the hash of the images. What does not match is
refused with the reason, not compared across it. Times, energies, accuracies are families, each
corrected for its number of tests (Holm). Counts are exact, so they are the same or not.

Two files come from separate runs, and a machine changes between runs by more than the rounds
within one show. Times are those that tables quote (`results.select.Times`). Where both files hold
the time of the same yardstick beside each round (`measure/yardstick.py`), computed by the same
version of its runtime, they are compared relative to it: the ratio is what the model changed by,
and `machine` what the machine did. Times beside different yardsticks are refused. Where a file
holds none, the raw times are compared, with a larger allowance. The allowances are standard
deviations of log time in each run, calibrated by `benchmarks/aa_ab.py`, which prints the alarms and
finds of other values beside them. That of energies has no such data yet: it is the one of raw
times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import ArrayLike

from lightfer.errors import ArgumentError
from lightfer.report.cells import subject, threads
from lightfer.report.matching import comparable, conditions, match, settings
from lightfer.report.predecessor import IMAGES, Quoted, quoted_in
from lightfer.report.significance import accuracy_difference
from lightfer.results import (
    Accuracy,
    Energy,
    Entry,
    Latency,
    Results,
    content_of,
    filled,
    results_in,
)
from lightfer.results.select import Time, Times, net_names
from lightfer.results.stats import Difference, compare_many_runs, compare_proportions, holm

RUN_TO_RUN = 0.03  # relative to the yardstick; by benchmarks/aa_ab.py
RUN_TO_RUN_BARE = 0.12
RUN_TO_RUN_ENERGY = RUN_TO_RUN_BARE  # beside no yardstick; no runs of one meter were compared yet
ALPHA = 0.05
NOTHING = "no significant difference"
REFUSED = "not comparable"
PTFLOPS = (
    "ptflops also counts biases, batch norms, activations and pools, so it lies a few percent "
    "above the multiply-adds of the same net; a smaller or much larger count is another net"
)
Kind = Literal["time", "energy", "accuracy", "params", "macs"]
COUNTS: tuple[Kind, ...] = ("params", "macs")
WORDS: dict[Kind, tuple[str, str]] = {  # of a family of tests: where b is less, where it is more
    "time": ("faster", "slower"),
    "energy": ("lower", "higher"),
    "accuracy": ("worse", "better"),
}


class Change(Struct, frozen=True, gc=False):
    """One quantity of one model in both files.

    For times and energies `ratio` is b / a with its interval; for accuracies `difference` is b - a
    in fractions. `verdict` is one of WORDS, same, changed, NOTHING and REFUSED.
    """

    model: str  # with its runtime and precision if not PyTorch's float32, and where, if on several
    kind: Kind
    what: str  # "batch 1, 2 threads", "test, single view", ...
    verdict: str
    a: float | None = None
    b: float | None = None
    ratio: float | None = None
    difference: float | None = None
    low: float | None = None  # of the 95 % interval of ratio or difference, one test at a time
    high: float | None = None
    p: float | None = None  # before the correction
    p_holm: float | None = None
    machine: float | None = None  # times: the yardstick's b / a, taken out of `ratio`
    note: str = ""  # the method, or the reason of a refusal


_Runs = tuple[ArrayLike, ArrayLike, float]  # one number per round of both, the allowance


@dataclass(frozen=True)
class Comparison:
    """Everything `lightfer compare` says."""

    changes: tuple[Change, ...]
    conditions: tuple[str, ...]  # what differs between the environments of matched entries
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]


def compare_files(
    a: Path, b: Path, run_to_run: float | None = None, *, anyway: bool = False
) -> Comparison:
    """Compare two results files; either, but not both, may be the predecessor's.

    Each is read once, so it may be a shell's <(command). Raises ResultsError if one cannot be read
    or holds no entries, ValueError if both are the predecessor's.
    """
    first, second = _read(a), _read(b)
    if isinstance(first, Results):
        if isinstance(second, Results):
            return compare_results(first, second, run_to_run, anyway=anyway)
        return compare_with_predecessor(second, first, quoted_first=False)
    if isinstance(second, Results):
        return compare_with_predecessor(first, second)
    raise ArgumentError(f"{a} and {b} are both of the predecessor's form: one must be lightfer's")


def _read(path: Path) -> Results | list[Quoted]:
    """What one file holds, of either form; thousands of entries without their passes."""
    text = content_of(path)
    quoted = quoted_in(text, path)
    return filled(results_in(text, path, passes=False), path) if quoted is None else quoted


def compare_results(
    a: Results, b: Results, run_to_run: float | None = None, *, anyway: bool = False
) -> Comparison:
    """Compare two results, `b` relative to `a`.

    `run_to_run` replaces the allowances at the head of this file. Times from a machine whose stored
    verdict is `unusable` are refused, unless `anyway`.
    """
    changes: list[Change] = []
    before, after = Times(a), Times(b)
    pairs = match(a, b, anyway=anyway)
    names = _row_names([entry for entry, *_ in pairs], a)
    runs: dict[int, _Runs] = {}  # place of a change -> what is compared there
    tests: dict[int, Any] = {}  # the same of accuracies
    for name, (entry, other, reasons, several) in zip(names, pairs, strict=True):
        both = ("first", entry), ("second", other)
        failed = [f"the {which} file's net failed: {e.error}" for which, e in both if e.error]
        for change, of_both in (
            *_times(name, entry, before, other, after, [*reasons, *failed], run_to_run),
            *_energies(name, entry, other, [*reasons, *failed], run_to_run),
        ):
            if of_both:
                runs[len(changes)] = of_both
            changes.append(change)
        tests[len(changes)] = entry.model, entry.weights, entry.accuracy, other.accuracy
        changes.append(_accuracies(name, entry, a, other, b, several))
        changes += [] if several else _counts(name, entry, other)
    for i, found in zip(runs, compare_many_runs(runs.values()), strict=True):
        changes[i] = _tested(changes[i], found)
    both = dict.fromkeys((x.environment, y.environment) for x, y, why, _ in pairs if not why)
    told = [conditions(a.environments[x], b.environments[y]) for x, y in both]
    told += [settings(x, y) for x, y, why, _ in pairs if not why]
    in_a, in_b = {x.id for x, *_ in pairs}, {y.id for _, y, *_ in pairs}
    return Comparison(
        changes=_corrected(changes, tests),
        conditions=tuple(dict.fromkeys(chain.from_iterable(told))),
        only_in_a=tuple(e.id for e in a.entries if e.id not in in_a),
        only_in_b=tuple(e.id for e in b.entries if e.id not in in_b),
    )


_PLACES: tuple[Callable[[Entry, str], str], ...] = (
    lambda entry, machine: "",
    lambda entry, machine: f" on {entry.device}",
    lambda entry, machine: f" on {machine}",
    lambda entry, machine: f" on {machine}, {entry.device}",
    lambda entry, machine: f", {entry.id}",
)


def _row_names(entries: Sequence[Entry], results: Results) -> list[str]:
    """What the rows of each entry are called: the net, its runtime and precision; where others are
    called so too, also the device or machine that tells them apart, at last the id.
    """
    names, about = net_names(results.entries), results.environments
    machines = {key: environment.name for key, environment in about.items()}
    found: list[str] = []
    for place in _PLACES:
        found = [
            subject(e, names[e.id]) + place(e, machines.get(e.environment, e.environment))
            for e in entries
        ]
        if len(set(found)) == len(found):
            break
    return found


def _times(
    model: str,
    a: Entry,
    before: Times,
    b: Entry,
    after: Times,
    reasons: list[str],
    run_to_run: float | None,
) -> Iterable[tuple[Change, _Runs | None]]:
    if not a.latency and not b.latency:
        reasons = ["neither file has times", *reasons]
    if reasons:
        yield Change(model, "time", "all times", REFUSED, note="; ".join(reasons)), None
        return
    theirs = {_timed(t): t for t in b.latency}
    for mine in a.latency:
        what = _timed(mine)
        other = theirs.pop(what, None)
        if other is None:
            found = ", ".join(_timed(t) for t in b.latency) or "no times"
            yield Change(model, "time", what, REFUSED, note=f"the second file has {found}"), None
            continue
        times = before.of(a, mine), after.of(b, other)
        judged, refusal = comparable(times, a, before.about(a), after.about(b))
        if judged is None:
            shown = (t and t.estimate_s for t in times)
            yield Change(model, "time", what, REFUSED, *shown, note=refusal), None
        else:
            yield _time(model, what, judged, refusal, run_to_run)
    for what in theirs:
        yield Change(model, "time", what, REFUSED, note="only the second file has it"), None


def _time(
    model: str, what: str, times: tuple[Time, Time], why_raw: str, run_to_run: float | None
) -> tuple[Change, _Runs]:
    """One time in both files, relative to the yardsticks if they are there and comparable."""
    a, b = times
    allowed = RUN_TO_RUN_BARE if why_raw else RUN_TO_RUN
    machine = b.reference_s / a.reference_s if a.reference_s and b.reference_s else None
    note = f", {why_raw or 'relative to the yardstick'}"
    change = Change(model, "time", what, "", a.estimate_s, b.estimate_s, machine=machine, note=note)
    x, y = (time.rounds_s / (time.reference_s or 1.0) for time in times)
    return change, (x, y, allowed if run_to_run is None else run_to_run)


def _energies(
    model: str, a: Entry, b: Entry, reasons: list[str], run_to_run: float | None
) -> Iterable[tuple[Change, _Runs | None]]:
    """Gross energy per image at each batch size of either file, block by block."""
    ours = {e.batch_size: e for e in (a.energy, *a.energy_other) if e and e.method()}
    theirs = {e.batch_size: e for e in (b.energy, *b.energy_other) if e and e.method()}
    for size in dict.fromkeys((*ours, *theirs)):
        what = "energy per image" if size is None else f"energy per image, batch {size}"
        x, y = ours.get(size), theirs.get(size)
        refusal = "; ".join(reasons) or _no_ratio(x, y)
        if refusal or not (x and y and x.gross and y.gross):
            yield Change(model, "energy", what, REFUSED, _gross(x), _gross(y), note=refusal), None
            continue
        allowed = RUN_TO_RUN_ENERGY if run_to_run is None else run_to_run
        note = f"; energy by {x.method()}"
        change = Change(model, "energy", what, "", _gross(x), _gross(y), note=note)
        yield change, (x.gross_of_blocks(), y.gross_of_blocks(), allowed)


def _no_ratio(a: Energy | None, b: Energy | None) -> str:
    """Why two energies are not compared; "" if they can be."""
    if a is None or b is None:
        return f"only the {'first' if a else 'second'} file has it"
    if not a.measured() or not b.measured():
        said = f"{a.method()} against {b.method()}" if a.method() != b.method() else a.method()
        return f"energy is {said}, not measured: what is modelled is time by another name"
    if a.method() != b.method() or a.included().keys() != b.included().keys():
        told = (f"{', '.join(e.included())} by {e.method()}" for e in (a, b))
        return f"energy of {' against '.join(told)}"
    if a.ci95 is None or b.ci95 is None or min(len(e.gross_of_blocks()) for e in (a, b)) < 2:
        return "one block shows no spread between blocks: measure at least 2"
    if min(*a.gross_of_blocks(), *b.gross_of_blocks()) <= 0:  # of a meter with few ticks
        return "a block without any energy has no ratio: measure longer blocks"
    return ""


def _gross(energy: Energy | None) -> float | None:
    return energy.gross.joules_per_image if energy and energy.gross else None


def _timed(latency: Latency) -> str:
    clock = "" if latency.clock == "wall" else f", {latency.clock}"
    return f"batch {latency.batch_size}, {threads(latency.threads)}{clock}"


def _accuracies(
    model: str, entry: Entry, a: Results, other: Entry, b: Results, several: list[str]
) -> Change:
    ours, theirs = entry.accuracy, other.accuracy
    if ours is None or theirs is None:
        which = "neither file" if ours is theirs else "one file only"
        return Change(model, "accuracy", "top-1", REFUSED, note=f"{which} has an accuracy")
    what = f"{ours.split}, {ours.view} view"
    pairs = {
        "runtime": (entry.runtime, other.runtime),
        "precision": (entry.precision, other.precision),
        "split": (ours.split, theirs.split),
        "labels": (ours.labels, theirs.labels),
        "view": (ours.view, theirs.view),
        "images": (ours.images, theirs.images),
        "source": (ours.source, theirs.source),
        "data": (_data_hash(entry, a), _data_hash(other, b)),
    }
    reasons = [f"{name} {x} against {y}" for name, (x, y) in pairs.items() if x != y] + several
    if not reasons and ours.source == "measured" and pairs["data"][0] is None:
        reasons.append("the hash of the images is not in the files")
    if reasons:
        return Change(
            model, "accuracy", what, REFUSED, ours.top1, theirs.top1, note="; ".join(reasons)
        )
    change = Change(model, "accuracy", what, "", ours.top1, theirs.top1)
    return _tested(change, accuracy_difference(ours, theirs))


def _data_hash(entry: Entry, results: Results) -> str | None:
    environment = results.environments.get(entry.environment)
    data = environment.data if environment else None
    return data.sha256.get("test") if data else None


def _counts(model: str, a: Entry, b: Entry) -> Iterable[Change]:
    for kind in COUNTS:
        x, y = getattr(a, kind), getattr(b, kind)
        if x is not None and y is not None:
            ratio = y / x if x else None
            yield Change(model, kind, kind, "same" if x == y else "changed", x, y, ratio)


def _tested(change: Change, found: Difference) -> Change:
    """With what was found, its own note after the method; verdicts come once a family is known."""
    is_ratio = change.kind in ("time", "energy")
    interval = found.interval
    return replace(
        change,
        ratio=interval.estimate if is_ratio else None,
        difference=None if is_ratio else interval.estimate,
        low=interval.low,
        high=interval.high,
        p=found.p,
        note=found.method + change.note,
    )


def _corrected(changes: Sequence[Change], tests: Mapping[int, Any]) -> tuple[Change, ...]:
    """The same changes with the p-values of each family corrected and the verdicts drawn.

    What several changes compare, by `tests`, is tested once, as an accuracy that runtimes share.
    """
    done = list(changes)
    for kind, words in WORDS.items():
        family = [i for i, c in enumerate(done) if c.kind == kind and c.p is not None]
        once = {tests.get(i, i): done[i].p or 0.0 for i in family}
        corrected = dict(zip(once, holm([*once.values()]).tolist(), strict=True))
        for i in family:
            change, p = done[i], corrected[tests.get(i, i)]
            grew = (change.ratio or 1.0) > 1 or (change.difference or 0.0) > 0
            verdict = words[grew] if p < ALPHA else NOTHING
            done[i] = replace(change, p_holm=p, verdict=verdict)
    return tuple(done)


def compare_with_predecessor(
    quoted: Sequence[Quoted], results: Results, *, quoted_first: bool = True
) -> Comparison:
    """Compare what can be compared with the predecessor's file: accuracy and sizes.

    Accuracy against ours on validation and test together, the same 7,178 images where the data is
    verified: unpaired, and the predecessor chose its weights on these images while ours were chosen
    on the validation half of them. Its times and energies are refused.
    """
    changes: list[Change] = []
    tests: dict[int, Any] = {}
    by_model = {q.model: q for q in quoted}
    entries = [e for e in results.entries if e.model in by_model]
    for name, entry in zip(_row_names(entries, results), entries, strict=True):
        found = by_model[entry.model]
        note = "the predecessor's file names neither machine nor batch size nor repetitions"
        changes.append(Change(name, "time", "all times and energies", REFUSED, note=note))
        both = next((x for x in entry.accuracy_other if x.split == "validation + test"), None)
        tests[len(changes)] = entry.model, entry.weights, both
        changes.append(_quoted_accuracy(name, found, both, quoted_first))
        for kind in COUNTS:
            theirs, ours = getattr(found, kind), getattr(entry, kind)
            if ours is None:
                continue
            x, y = (theirs.value, ours) if quoted_first else (ours, theirs.value)
            same = abs(theirs.value - ours) <= theirs.half_unit * (1 + 1e-9)
            note = "to its two decimals" if kind == "params" else PTFLOPS
            verdict = "same" if same else "changed"
            ratio = y / x if x else None
            changes.append(Change(name, kind, kind, verdict, x, y, ratio, note=note))
    models = {e.model for e in results.entries}
    without = tuple(q.name for q in quoted if q.model not in models)
    unquoted = tuple(e.id for e in results.entries if e.model not in by_model)
    only = (without, unquoted) if quoted_first else (unquoted, without)
    return Comparison(_corrected(changes, tests), (), *only)


def _quoted_accuracy(
    model: str, quoted: Quoted, ours: Accuracy | None, quoted_first: bool
) -> Change:
    what = "validation + test, single view"
    if ours is None or ours.images != IMAGES or ours.labels != "fer2013":
        found = f"{ours.images} images, {ours.labels}" if ours else "none"
        note = f"needs ours on FER2013's {IMAGES:,} images of validation and test, found {found}"
        return Change(model, "accuracy", what, REFUSED, note=note)
    x, y = (quoted.top1, ours.top1) if quoted_first else (ours.top1, quoted.top1)
    note = "; the predecessor chose its weights on these images"
    change = Change(model, "accuracy", what, "", x, y, note=note)
    return _tested(change, compare_proportions(x * IMAGES, IMAGES, y * IMAGES, IMAGES))
