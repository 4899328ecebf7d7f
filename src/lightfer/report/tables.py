"""Records to the rows and tables of a run, in the text of `cells`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress

from lightfer.report.cells import (
    DASH,
    HEADLINE,
    conditions,
    joules_each,
    markdown_table,
    method_mark,
    milliseconds,
    number,
    plain,
    subject,
    top1,
    variant_name,
)
from lightfer.report.notes import notes
from lightfer.results import Accuracy, Entry, Results, WeightCard
from lightfer.results.select import (
    Time,
    Times,
    corrupted_top1,
    mean_corrupted_top1,
    net_names,
    wall,
)

HEADER = (
    "Model",
    "Top-1 %",
    "Macro-F1",
    "Params M",
    "FLOPs M",
    "1 image ms",
    "1 image ms, raw",
    "64 images, ms each",
    "mJ/image",
    "g CO2e/1M images",
)
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
    size = max((t.batch_size for t in entry.latency), default=1)
    batch = wall(entry, size) if size > 1 else None
    grams = entry.carbon.g_co2e_per_1000_images if entry.carbon else None
    return (
        subject(entry, name) + (" (failed rounds)" if entry.error and entry.latency else ""),
        top1(entry.accuracy),
        number(entry.accuracy.macro_f1 if entry.accuracy else None, ".3f"),
        number(entry.params, ".3f", 1e-6),
        number(entry.macs, ".1f", 2e-6),
        _time(single),
        milliseconds(single.raw or single.raw_s) if single and single.corrected else DASH,
        _time(times.of(entry, batch), batch.batch_size if batch else 1, ".3f"),
        joules_each(entry.energy),
        number(grams, ".3g", 1e3) + method_mark(entry.energy),
    )


def _time(time: Time | None, images: int = 1, form: str = ".2f") -> str:
    return milliseconds(time and (time.interval or time.estimate_s), "", images, form)


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
        headline = [e for e in entries if variant_name(e) == HEADLINE]
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
    below = (f"\n{plain(note)}" for note in notes(entries, times, cards))
    return [*markdown_table(titles, rows), *_failures(entries), *below]


def table(entries: Sequence[Entry], times: Times) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and rows; without the raw times where these are what is quoted, and without those of a
    batch where only single images were timed. How energy was obtained stands in the titles where it
    is the same for all.
    """
    names, unused = net_names(entries), set()
    if not any(t.corrected for e in entries if (t := times.at(e))):
        unused.add("1 image ms, raw")
    if {t.batch_size for e in entries for t in e.latency} == {1}:
        unused.add("64 images, ms each")
    shown = [title not in unused for title in HEADER]
    cells = [header(entries), *(row(e, times, names[e.id]) for e in entries)]
    titles, *rows = [tuple(compress(line, shown)) for line in cells]
    marks = {method_mark(entry.energy) for entry in entries} - {""}
    if len(marks) == 1:
        (mark,) = marks
        method = re.sub(r", batch \d+", "", mark)  # which stands with energy; the table is wide
        titles = (*titles[:-2], titles[-2] + mark, titles[-1] + method)
        rows = [(*line[:-2], *(cell.removesuffix(mark) for cell in line[-2:])) for line in rows]
    return titles, rows


def views(entries: Sequence[Entry]) -> str:
    """Top-1 of every entry in each view, and on each set of images and labels."""
    scored = [
        (e, {_kind(a): a for a in (e.accuracy, *e.accuracy_other) if a and not a.corruption})
        for e in entries
    ]
    names = net_names(entries)
    kinds = list(dict.fromkeys(kind for _, found in scored for kind in found))
    rows = [(names[e.id], *(_view(found.get(kind)) for kind in kinds)) for e, found in scored]
    return "\n".join(markdown_table(("Model", *kinds), rows))


def robustness(entries: Sequence[Entry]) -> str:
    """Top-1 of every entry on worse images, and on those of which it is surest."""
    scored = [(e, e.accuracy, corrupted_top1(e)) for e in entries if e.accuracy]
    kinds = list(dict.fromkeys(kind for *_, found in scored for kind in found))
    names = net_names([e for e, *_ in scored])
    titles = ("Model", "Variant", "As they are", *kinds, "Mean", "Surest 80 %", "ECE")
    rows = [
        (
            names[entry.id],
            variant_name(entry),
            number(accuracy.top1, ".1f", 100),
            *(number(found.get(kind), ".1f", 100) for kind in kinds),
            number(mean_corrupted_top1(entry), ".1f", 100),
            number(accuracy.top1_at_80_coverage, ".1f", 100),
            _calibration_error(accuracy),
        )
        for entry, accuracy, found in scored
    ]
    return "\n".join(markdown_table(titles, rows))


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
    variants = list(dict.fromkeys(variant_name(e) for e in entries))
    names = net_names(entries)
    cells = {(names[e.id], variant_name(e)): _single(e, times) for e in entries}
    rows = [
        (model, *(cells.get((model, variant), DASH) for variant in variants))
        for model in dict.fromkeys(names[e.id] for e in entries)
    ]
    others = [e for e in entries if variant_name(e) != HEADLINE]
    return [*markdown_table(("Model", *variants), rows), *_failures(others)]


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
