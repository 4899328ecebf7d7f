"""The block of a README: the finding in a few lines, and one row per model.

Of one machine, in the runtime that is fastest for one image in float32: what a device would run.
Everything else that was measured stands in `tables.summary`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from lightfer._files import plain_name
from lightfer.report.cells import (
    DASH,
    bounded,
    conditions,
    energy_basis,
    markdown_table,
    milliseconds,
    number,
    plain,
    top1,
)
from lightfer.report.notes import teaching_notes, time_note, training_notes
from lightfer.report.rank import correlation
from lightfer.report.significance import accuracies_differ_from
from lightfer.results import Accuracy, Entry, Environment, Results
from lightfer.results.select import (
    RUNTIMES,
    Time,
    Times,
    by_variant,
    net_names,
    over_nets,
    scored_alike,
)


@dataclass(frozen=True)
class Shown:
    """The entries of one machine and variant that a README shows."""

    results: Results  # nothing but these entries
    environment: Environment
    entries: tuple[Entry, ...]
    others: tuple[Entry, ...]  # scored on other images or labels, one of each model
    times: Times  # of the whole file: the yardstick's median is that of a run
    beside: tuple[tuple[Entry, ...], ...] = ()  # as many nets in other runtimes, float32

    def time(self, entry: Entry) -> Time | None:
        """Of one image, where its interval is known."""
        found = self.times.at(entry)
        return found if found and found.interval else None

    @property
    def runtime(self) -> str:
        return RUNTIMES.get(self.entries[0].runtime, self.entries[0].runtime)


def shown(results: Results) -> Shown | None:
    """Of the variants in which most models were measured on one machine the fastest in float32,
    without what was scored on other images or labels than most; None without an entry that has a
    time.
    """
    times = Times(results)
    entries = [e for e in results.entries if e.error is None and e.precision == "float32"]
    alike = {e.id for e in scored_alike(entries)}
    others = {e.id: e for e in entries if e.accuracy and e.id not in alike}
    timed = [(e, t) for e in entries if e.id not in others and (t := times.at(e)) and t.interval]
    variants = by_variant(e for e, _ in timed)
    if not variants:
        return None
    most = max(map(len, variants.values()))
    seconds = {e.id: t.estimate_s for e, t in timed}
    full = [same for same in variants.values() if len(same) == most]
    entries = min(full, key=lambda same: geometric_mean([seconds[e.id] for e in same]))
    environment = entries[0].environment
    only = Results(
        environments={environment: results.environments[environment]},
        entries=tuple(entries),
        cards=results.cards,
    )
    machine = environment, entries[0].device
    return Shown(
        only,
        results.environments[environment],
        tuple(entries),
        tuple({e.model: e for e in others.values()}.values()),
        times,
        tuple(
            tuple(same)
            for same in full
            if same is not entries and (same[0].environment, same[0].device) == machine
        ),
    )


def block(found: Shown, figure: str = "") -> str:
    """Markdown: `figure`, a line that shows one, then the finding, the table, its conditions."""
    lines = [figure, *(f"- {plain(line)}" for line in finding(found)), "", *table(found), ""]
    is_corrected = any(t.corrected for e in found.entries if (t := found.time(e)))
    about = f"{conditions(found.environment, strong=True)} {time_note(is_corrected)}."
    lines.append(plain(f"{found.runtime}, float32. {about}"))
    cards = found.results.cards
    lines += [plain(note) for note in training_notes(found.entries, found.times, cards)]
    lines += [plain(note) for note in teaching_notes(found.entries, cards)]
    if found.others:
        scores = ", ".join(f"{e.model} {top1(e.accuracy)}" for e in ranked(found.others))
        lines.append(plain(f"Not compared, as scored on other images or labels: {scores}"))
    return "\n".join(lines).strip() + "\n"


def finding(found: Shown) -> list[str]:
    """What the figures say, a sentence or two each; what they cannot say is left out."""
    lines = []
    scored = [(e, e.accuracy) for e in ranked(found.entries) if e.accuracy]
    if len(scored) > 1:
        lines.append(_most_accurate(scored))
    timed = [(t, e) for e in found.entries if (t := found.time(e))]
    times = sorted(timed, key=lambda pair: pair[0].estimate_s)
    if len(times) > 1:
        (fast, fastest), (slow, slowest) = times[0], times[-1]
        lines.append(
            f"One image takes from {milliseconds(fast.interval, ' ms')} ({fastest.model}) to "
            f"{milliseconds(slow.interval, ' ms')} ({slowest.model}), "
            f"{slow.estimate_s / fast.estimate_s:.1f} times as long."
        )
    said = [
        text for entries in (found.entries, *found.beside) if (text := _correlated(found, entries))
    ]
    if said:
        nets = len({plain_name(e.model) for e in found.entries})
        lines.append(f"FLOPs against time, rank correlation over {nets} nets: {'; '.join(said)}.")
    return lines


def _correlated(found: Shown, entries: Sequence[Entry]) -> str:
    """Of FLOPs with time in one runtime; nothing where it is not known."""
    flops = over_nets(entries, lambda e: e.flops, lambda e: (t := found.time(e)) and t.estimate_s)
    if not (correlated := correlation(flops)):
        return ""
    rho, runtime = correlated.interval, RUNTIMES.get(entries[0].runtime, entries[0].runtime)
    text = f"{bounded(rho, '.2f')} in {runtime}"
    return text + (", which decides nothing" if rho.low < 0 < rho.high else "")


def table(found: Shown) -> list[str]:
    """One row per model, the most accurate first."""
    methods = {m for e in found.entries if (m := energy_basis(e.energy))}
    method = f" ({'; '.join(sorted(methods))})" if methods else ""
    is_corrected = any(t.corrected for e in found.entries if (t := found.time(e)))
    titles = ("Model", "Top-1 % [95 %]", "Params M", "FLOPs M", "1 image ms [95 %]")
    titles += ("raw ms [95 %]",) if is_corrected else ()
    titles += (f"mJ/image{method}", "Recipe")
    rows = []
    names = net_names(found.entries)
    for e in ranked(found.entries):
        gross = e.energy.gross.joules_per_image if e.energy and e.energy.gross else None
        cells = (names[e.id], top1(e.accuracy), number(e.params, ".2f", 1e-6))
        time = found.time(e)
        cells += (number(e.flops, ".1f", 1e-6), milliseconds(time and time.interval))
        cells += (milliseconds(time and time.raw),) if is_corrected else ()
        rows.append((*cells, number(gross, ".2f", 1e3), _trained(e, found.results)))
    return markdown_table(titles, rows, "---:")


def ranked(entries: Iterable[Entry]) -> list[Entry]:
    """The most accurate first."""
    return sorted(entries, key=lambda e: -(e.accuracy.top1 if e.accuracy else 0.0))


def _most_accurate(scored: Sequence[tuple[Entry, Accuracy]]) -> str:
    best, accuracy = scored[0]
    differ = accuracies_differ_from(tuple(a for _, a in scored))[0]
    names = net_names([e for e, _ in scored])
    tied = [names[e.id] for (e, _), differs in zip(scored, differ, strict=True) if not differs][1:]
    text = f"Most accurate is {names[best.id]}, {100 * accuracy.top1:.1f} % of {accuracy.images:,} "
    text += f"{accuracy.split} images"
    if not tied:
        return f"{text}; every other net is significantly less so."
    return f"{text}; not significantly different from it: {', '.join(tied)}."


def _trained(entry: Entry, results: Results) -> str:
    card = results.cards.get(entry.weights or "")
    if card is None:
        return "random weights" if entry.weights is None else DASH
    return card.recipe.split(",")[0] + (" (KD)" if card.distillation else "")
