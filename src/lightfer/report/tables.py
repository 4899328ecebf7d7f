"""Records to rows: the one place where numbers are rounded and get their units.

Accuracies that were not measured in the run but quoted from a weights' card are marked `(ref)`,
energies with how they were obtained, `(counter)` or `(modelled)`; unknown is a dash.
"""

from collections.abc import Iterable, Mapping, Sequence

from lightfer.report.significance import same_images
from lightfer.results import (
    MEASURED,
    Accuracy,
    Energy,
    Entry,
    Environment,
    Results,
    WeightCard,
)
from lightfer.results.select import (
    Time,
    Times,
    corrupted_top1,
    mean_corrupted_top1,
    mean_spread,
    net_names,
    trainings,
)
from lightfer.results.stats import Interval

HEADER = (
    "Model",
    "Top-1 %",
    "Macro-F1",
    "Params M",
    "MMACs",
    "1 image ms",
    "1 image ms, raw",
    "64 images, ms each",
    "mJ/image",
    "gCO2e/1000",
)
DASH = "–"  # noqa: RUF001
HEADLINE = "pytorch float32"
RUNTIMES = ("torch", "onnxruntime-web")  # whose versions stand below a table; of neither, these:
WITHOUT_TORCH = ("onnxruntime", "openvino")
VIEWS_TITLE = "Top-1 % on test in other views, and on other sets of images and labels:"
ROBUSTNESS_TITLE = (
    "Top-1 % on test images made worse, each kind in three strengths; on the 80 % of the images "
    "that a net is surest of; and its calibration error in %:"
)
PIVOT_TITLE = (
    "One image in every runtime and precision, ms; below float32 with the top-1 that is left:"
)


def header(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The column titles, with the batch size that was used.

    Times are corrected by the yardstick where there is one; `time_note` says so.
    """
    sizes = {e.inference_batch_size for e in entries if e.inference_batch_size}
    size = "/".join(str(s) for s in sorted(sizes)) or "64"
    return tuple(title.replace("64", size) for title in HEADER)


def row(entry: Entry, times: Times, name: str = "") -> tuple[str, ...]:
    """One model, in the order of `HEADER`; `name` is of `net_names`."""
    single = times.at(entry)
    batch = next((t for t in entry.latency if t.batch_size > 1 and t.clock == "wall"), None)
    grams = entry.carbon.g_co2e_per_1000_images if entry.carbon else None
    return (
        subject(entry, name),
        top1(entry.accuracy),
        number(entry.accuracy.macro_f1 if entry.accuracy else None, ".3f"),
        number(entry.params, ".3f", 1e-6),
        number(entry.macs, ".2f", 1e-6),
        _time(single),
        milliseconds(single.raw or single.raw_s) if single and single.corrected else DASH,
        _time(times.of(entry, batch), batch.batch_size if batch else 1, ".3f"),
        joules_each(entry.energy),
        number(grams, ".2g") + _method(entry.energy),
    )


def subject(entry: Entry, name: str = "") -> str:
    """The model, or its name of `net_names`, and runtime and precision where they are not PyTorch's
    float32.
    """
    name = name or entry.model
    return name if _variant(entry) == HEADLINE else f"{name} ({_variant(entry)})"


def top1(accuracy: Accuracy | None) -> str:
    """Percent with its 95 % interval, marked where it is by FER+'s majority, or not of this run."""
    if accuracy is None:
        return DASH
    low, high = accuracy.ci95
    text = f"{100 * accuracy.top1:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
    if accuracy.labels == "synthetic":
        text += " (synthetic)"
    elif accuracy.labels == "fer+":
        text += " (FER+)"
    return text + (" (ref)" if accuracy.source == "reference" else "")


def milliseconds(
    time: Interval | float | None, unit: str = "", images: int = 1, form: str = ".2f"
) -> str:
    """Milliseconds with their 95 % interval, where rounds tell one; a dash for nothing."""
    factor = 1e3 / images
    if not isinstance(time, Interval):
        return DASH if time is None else number(time, form, factor) + unit
    low, high = number(time.low, form, factor), number(time.high, form, factor)
    return f"{number(time.estimate, form, factor)}{unit} [{low}, {high}]"


def _time(time: Time | None, images: int = 1, form: str = ".2f") -> str:
    return milliseconds(time and (time.interval or time.estimate_s), "", images, form)


def time_note(corrected: bool) -> str:
    """What printed times are."""
    over = "with the 95 % interval over rounds"
    if not corrected:
        return f"Times: {over}; raw, as no yardstick was timed beside the rounds"
    return (
        f"Times: {over}, corrected by the yardstick, a fixed net beside each round: raw time x its "
        "median over the run / its time beside that round"
    )


def number(value: float | None, form: str, factor: float = 1.0) -> str:
    """The value times `factor`, or a dash."""
    return DASH if value is None else format(value * factor, form)


def markdown(results: Results) -> str:
    """A table per environment, with a line on its conditions."""
    parts, times = [], Times(results)
    for key, environment in results.environments.items():
        entries = [e for e in results.entries if e.environment == key]
        parts += [
            f"{plain(conditions(environment, strong=True))}\n",
            *_table(entries, times, results.cards),
            "",
        ]
    return "\n".join(parts).strip() + "\n"


def summary(results: Results) -> str:
    """As `markdown`, with every view, and one column per variant besides PyTorch's float32."""
    parts, times = [], Times(results)
    for key, environment in results.environments.items():
        entries = [e for e in results.entries if e.environment == key]
        headline = [e for e in entries if _variant(e) == HEADLINE]
        parts.append(f"{plain(conditions(environment, strong=True))}\n")
        parts += [*_table(headline, times, results.cards), ""] if headline else []
        if any(entry.accuracy_other for entry in headline):
            parts += [f"{VIEWS_TITLE}\n", views(headline), ""]
        if own := [e for e in entries if corrupted_top1(e) and not e.accuracy_of]:
            parts += [f"{ROBUSTNESS_TITLE}\n", robustness(own), ""]
        if len(headline) < len(entries):
            parts += [f"{PIVOT_TITLE}\n", *_pivot(entries, times), ""]
    return "\n".join(parts).strip() + "\n"


def _table(entries: Sequence[Entry], times: Times, cards: Mapping[str, WeightCard]) -> list[str]:
    titles, rows = table(entries, times)
    rows = [titles, tuple("---" for _ in titles), *rows]
    below = (f"\n{plain(note)}" for note in notes(entries, times, cards))
    return [*map(_line, rows), *_failures(entries), *below]


def table(entries: Sequence[Entry], times: Times) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and rows; the raw times have a column where they are not what is quoted."""
    names = net_names(entries)
    titles, rows = header(entries), [row(e, times, names[e.id]) for e in entries]
    if any(t.corrected for e in entries if (t := times.at(e))):
        return titles, rows
    raw = titles.index("1 image ms, raw")
    without = [cells[:raw] + cells[raw + 1 :] for cells in (titles, *rows)]
    return without[0], without[1:]


def notes(entries: Sequence[Entry], times: Times, cards: Mapping[str, WeightCard]) -> list[str]:
    """What a reader of the figures must know besides, one line each."""
    timed = [t for e in entries for latency in e.latency if (t := times.of(e, latency))]
    told = [time_note(corrected) for corrected in sorted({t.corrected for t in timed})]
    told += training_notes(entries, times)
    return [*told, *teaching_notes(entries, cards), *carbon_notes(entries), *energy_notes(entries)]


def views(entries: Sequence[Entry]) -> str:
    """Top-1 of every entry in each view, and on each set of images and labels."""
    scored = [
        (e, {_kind(a): a for a in (e.accuracy, *e.accuracy_other) if a and not a.corruption})
        for e in entries
    ]
    names = net_names(entries)
    kinds = list(dict.fromkeys(kind for _, found in scored for kind in found))
    lines = [("Model", *kinds), ("---",) * (1 + len(kinds))]
    for entry, found in scored:
        lines.append((names[entry.id], *(_view(found.get(kind)) for kind in kinds)))
    return "\n".join(map(_line, lines))


def robustness(entries: Sequence[Entry]) -> str:
    """Top-1 of every entry on worse images, and on those of which it is surest."""
    scored = [(e, corrupted_top1(e)) for e in entries if e.accuracy]
    kinds = list(dict.fromkeys(kind for _, found in scored for kind in found))
    names = net_names([e for e, _ in scored])
    titles = ("Model", "Variant", "As they are", *kinds, "Mean", "Surest 80 %", "ECE")
    lines = [titles, ("---",) * len(titles)]
    for entry, found in scored:
        assert entry.accuracy
        lines.append(
            (
                names[entry.id],
                _variant(entry),
                number(entry.accuracy.top1, ".1f", 100),
                *(number(found.get(kind), ".1f", 100) for kind in kinds),
                number(mean_corrupted_top1(entry), ".1f", 100),
                number(entry.accuracy.top1_at_80_coverage, ".1f", 100),
                _calibration_error(entry.accuracy),
            )
        )
    return "\n".join(map(_line, lines))


def _calibration_error(accuracy: Accuracy) -> str:
    """Percent, with its interval."""
    figures = [number(x, ".1f", 100) for x in (accuracy.ece, *(accuracy.ece_ci95 or ()))]
    return figures[0] + (f" [{figures[1]}, {figures[2]}]" if figures[1:] else "")


def _view(accuracy: Accuracy | None) -> str:
    """Percent; on another data set, which others may hold in another size, with its interval."""
    if accuracy and accuracy.data_sha256:
        return top1(accuracy)
    return number(accuracy and accuracy.top1, ".2f", 100)


def _kind(accuracy: Accuracy) -> str:
    """What was scored, where it is not the test split's own labels, and how, if not plainly."""
    images = "" if accuracy.split == "test" else accuracy.split
    labels = "FER+ majority" if accuracy.labels == "fer+" else ""
    if accuracy.data_sha256:
        labels = f"{accuracy.labels} {accuracy.data_sha256[:8]}"
    view = "" if accuracy.view == "single" else accuracy.view
    return ", ".join(part for part in (images, labels, view) if part) or "single view"


def _pivot(entries: Sequence[Entry], times: Times) -> list[str]:
    """A line per model, a column per variant."""
    variants = list(dict.fromkeys(_variant(e) for e in entries))
    names = net_names(entries)
    cells = {(names[e.id], _variant(e)): _single(e, times) for e in entries}
    lines = [("Model", *variants), ("---",) * (1 + len(variants))]
    for model in dict.fromkeys(names[e.id] for e in entries):
        lines.append((model, *(cells.get((model, variant), DASH) for variant in variants)))
    return [*map(_line, lines), *_failures([e for e in entries if _variant(e) != HEADLINE])]


def _failures(entries: Iterable[Entry]) -> list[str]:
    return [f"\n`{plain(subject(e))}` failed: {plain(e.error)}" for e in entries if e.error]


def _single(entry: Entry, times: Times) -> str:
    """Time of one image, and what other numbers than float32 leave of the accuracy."""
    if entry.error:
        return "failed"
    time = _time(times.at(entry))
    if entry.precision == "float32" or entry.accuracy is None:
        return time
    return f"{time} ({100 * entry.accuracy.top1:.2f} %)"


def _variant(entry: Entry) -> str:
    return f"{entry.runtime} {entry.precision}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"


def plain(text: str) -> str:
    """One line of Markdown: no cell is ended and no tag is opened by a string of a file."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.replace("|", r"\|").replace("<", "&lt;").replace("`", "'")


def threads(count: int) -> str:
    """So many, in words."""
    return f"{count} thread{'s' * (count != 1)}"


def conditions(environment: Environment, *, strong: bool = False) -> str:
    """One sentence on the machine, the software and the data; `strong`: in Markdown, where a
    verdict on noise stands out.
    """
    data = environment.data
    if data is None:
        source = "no test data: accuracy, where given, is the weights' card's (ref)"
    else:
        source = f"data: {data.label}"
    versions = environment.versions
    named = [name for name in RUNTIMES if name in versions] or WITHOUT_TORCH
    shown = [f"{name} {versions[name]}" for name in named if name in versions]
    return (
        f"{environment.name}, {threads(environment.threads)} of {environment.cores} cores, "
        f"{', '.join(shown)}, allocator: {environment.allocator}; "
        f"{source}; {environment.started[:10]}{_noise(environment, '**' if strong else '')}."
    )


def _noise(environment: Environment, mark: str) -> str:
    """The verdict on noise and its reasons, where it was not quiet; else nothing."""
    found = environment.noise
    if found is None or found.verdict == "quiet":
        return ""
    return f"; {mark}{found.verdict}{mark} machine: {', '.join(found.reasons)}"


def joules_each(energy: Energy | None) -> str:
    """Millijoules per image, gross, with the 95 % interval if there is one, and the method."""
    if energy is None or energy.gross is None:
        return DASH
    text = number(energy.gross.joules_per_image, ".2f", 1e3)
    if energy.ci95 is not None:
        text += f" [{1e3 * energy.ci95[0]:.2f}, {1e3 * energy.ci95[1]:.2f}]"
    return text + _method(energy)


def energy_method(energy: Energy | None) -> str | None:
    """How the figure was obtained: `counter`, `modelled`, `simulated`, ...; None if none is known.

    Files of before the total said what it includes: the methods of all components with a figure.
    """
    if energy is None or energy.gross is None or energy.gross.joules_per_image is None:
        return None
    if energy.simulated:
        return "simulated"
    parts = energy.components
    methods = {c.method for c in (parts.gpu, parts.cpu, parts.dram)} - {"absent"}
    return energy.method() or " + ".join(sorted(methods)) or None


def is_metered(energy: Energy | None) -> bool:
    """Whether meters gave the total, not a model and not a simulation."""
    return set((energy_method(energy) or "none").split(" + ")) <= set(MEASURED)


def training_notes(entries: Iterable[Entry], times: Times) -> list[str]:
    """What several trainings of one net from other seeds have in common, a line each: the mean and
    the standard deviation over them.
    """
    notes = []
    for group in trainings(entries):
        first = group[0].accuracy
        same = [e.accuracy for e in group
                if e.accuracy and first and same_images(e.accuracy, first)]  # fmt: skip
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
        f"KD, taught by {teachers} beside the labels: {', '.join(dict.fromkeys(models))}"
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
                for reason, names in _reasons(energy).items():
                    notes.setdefault(f"{' and '.join(names)} not measured: {reason}", [])
    return [
        f"Energy: {text}" + (f" ({'; '.join(dict.fromkeys(where))})" if where else "")
        for text, where in notes.items()
    ]


def _reasons(energy: Energy) -> dict[str, list[str]]:
    """Why components have no meter's figure -> which they are."""
    parts = energy.components
    found: dict[str, list[str]] = {}
    for name, part in (("gpu", parts.gpu), ("cpu", parts.cpu), ("dram", parts.dram)):
        if part.reason:
            found.setdefault(part.reason, []).append(name)
    return found


def _method(energy: Energy | None) -> str:
    """What to print behind a figure: how it was obtained."""
    method = energy_method(energy)
    return f" ({method})" if method else ""
