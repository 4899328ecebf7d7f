"""What a reader of the figures must know besides: lines below a table."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from lightfer.report.cells import DASH, number, subject
from lightfer.results import Entry, WeightCard
from lightfer.results.select import Times, mean_spread, scored_on, trainings


def time_note(corrected: bool) -> str:
    """What printed times are."""
    over = "with the 95 % interval over rounds"
    if not corrected:
        return f"Times: {over}; raw, as no yardstick was timed beside the rounds"
    return (
        f"Times: {over}, corrected by the yardstick, a fixed net beside each round: raw time x its "
        "median over the run / its time beside that round"
    )


def notes(entries: Sequence[Entry], times: Times, cards: Mapping[str, WeightCard]) -> list[str]:
    """What a reader of the figures must know besides, one line each."""
    timed = [t for e in entries for latency in e.latency if (t := times.of(e, latency))]
    told = [time_note(corrected) for corrected in sorted({t.corrected for t in timed})]
    told += training_notes(entries, times, cards)
    return [*told, *teaching_notes(entries, cards), *carbon_notes(entries), *energy_notes(entries)]


def training_notes(
    entries: Iterable[Entry], times: Times, cards: Mapping[str, WeightCard]
) -> list[str]:
    """What several trainings of one net from other seeds have in common, a line each: the mean and
    the standard deviation over them.
    """
    notes = []
    for group in trainings(entries, cards):
        first = group[0].accuracy
        same = [e.accuracy for e in group
                if e.accuracy and first and scored_on(e.accuracy) == scored_on(first)]  # fmt: skip
        figures = []
        if len(same) == len(group):
            figures.append(_spread("top-1", (a.top1 for a in same), 100, ".2f", " %"))
            figures.append(_spread("macro-F1", (a.macro_f1 for a in same), 1, ".3f"))
        for size in sorted({t.batch_size for e in group for t in e.latency if t.clock == "wall"}):
            each = (times.seconds(e, size) for e in group)
            figures.append(_spread(f"batch {size}", each, 1e3, ".2f", " ms"))
        notes.append(
            f"{subject(group[0])}, mean ± standard deviation over {len(group)} trainings, recipe "
            f"{group[0].recipe}, seeds {', '.join(str(e.seed) for e in group)}: "
            f"{', '.join(filter(None, figures)) or DASH}"
        )
    return notes


def _spread(
    what: str, values: Iterable[float | None], factor: float, form: str, unit: str = ""
) -> str:
    found = mean_spread(values)
    if found is None:
        return ""
    mean, spread = (number(value, form, factor) for value in found)
    return f"{what} {mean} ± {spread}{unit}"


def teaching_notes(entries: Iterable[Entry], cards: Mapping[str, WeightCard]) -> list[str]:
    """Which models learnt from other nets beside the labels, one line per set of teachers."""
    students: dict[str, list[str]] = {}
    for entry in entries:
        card = cards.get(entry.weights or "")
        if card and card.distillation:
            names = [teacher.model for teacher in card.distillation.teachers]
            students.setdefault(", ".join(names), []).append(entry.model)
    return [
        f"KD (knowledge distillation), taught by {teachers} beside the labels: "
        f"{', '.join(dict.fromkeys(models))}"
        for teachers, models in students.items()
    ]


def carbon_notes(entries: Iterable[Entry]) -> list[str]:
    """The grid and PUE that emissions rest on, and what others would make of them."""
    notes = []
    for carbon in (e.carbon for e in entries if e.carbon and e.carbon.sensitivity):
        grid = carbon.intensity
        others = ", ".join(
            f"{e.intensity.zone} x {e.intensity.g_co2e_per_kwh / grid.g_co2e_per_kwh:.2f}"
            for e in carbon.sensitivity
            if grid.g_co2e_per_kwh
        )
        year = "" if grid.year is None else f", {grid.year}"
        notes.append(
            f"Emissions: grid {grid.zone} ({grid.g_co2e_per_kwh:g} g/kWh{year}, {grid.basis}), "
            f"PUE {carbon.pue:g}; elsewhere: {others or DASH}"
        )
    return list(dict.fromkeys(notes))


def energy_notes(entries: Iterable[Entry]) -> list[str]:
    """What was said while meters were read, and why there are none, one line per thing."""
    notes: dict[str, list[str]] = {}
    for entry in entries:
        for energy in (entry.energy, *entry.energy_other):
            if energy is None:
                continue
            at = f"{subject(entry)}, batch {energy.batch_size}" if energy.warnings else ""
            for warning in energy.warnings:
                notes.setdefault(warning, []).append(at)
            if energy.gross is None or energy.method() == "modelled":
                reasons: dict[str, list[str]] = {}
                for name, part in structs.asdict(energy.components).items():
                    if part.reason:
                        reasons.setdefault(part.reason, []).append(name)
                for reason, names in reasons.items():
                    notes.setdefault(f"{' and '.join(names)} not measured: {reason}", [])
    return [
        f"Energy: {text}" + (f" ({'; '.join(dict.fromkeys(where))})" if where else "")
        for text, where in notes.items()
    ]
