"""The block of a README: the finding in a few lines, and one row per model.

Of one machine, in the runtime that is fastest for one image in float32: what a device would run.
Everything else that was measured stands in `tables.summary`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from lightfer.report.significance import accuracies_apart, latency_interval
from lightfer.report.tables import (
    DASH,
    conditions,
    energy_method,
    number,
    plain,
    teaching_notes,
    top1,
)
from lightfer.results import Accuracy, Entry, Environment, Results
from lightfer.results.stats import Interval, rank_correlation

NAMES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Shown:
    """The entries of one machine and way that a README shows."""

    results: Results  # nothing but these entries
    environment: Environment
    entries: tuple[Entry, ...]

    @property
    def runtime(self) -> str:
        return NAMES.get(self.entries[0].runtime, self.entries[0].runtime)


def shown(results: Results) -> Shown | None:
    """Of the ways in which most models were measured on one machine the fastest in float32; None
    without an entry that has a time.
    """
    ways: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in results.entries:
        if entry.error is None and entry.precision == "float32" and _time(entry):
            ways.setdefault((entry.environment, entry.device, entry.runtime), []).append(entry)
    if not ways:
        return None
    most = max(map(len, ways.values()))
    full = [entries for entries in ways.values() if len(entries) == most]
    entries = min(full, key=lambda way: geometric_mean(t.estimate for e in way if (t := _time(e))))
    environment = entries[0].environment
    only = Results(
        environments={environment: results.environments[environment]},
        entries=tuple(entries),
        cards=results.cards,
    )
    return Shown(only, results.environments[environment], tuple(entries))


def block(found: Shown, figure: str = "") -> str:
    """Markdown: `figure`, a line that shows one, then the finding, the table, its conditions."""
    lines = [figure, *(f"- {plain(line)}" for line in finding(found)), "", *table(found), ""]
    lines.append(f"{found.runtime}, float32. {plain(conditions(found.environment))}")
    lines += [plain(note) for note in teaching_notes(found.entries, found.results.cards)]
    return "\n".join(lines).strip() + "\n"


def finding(found: Shown) -> list[str]:
    """What the figures say, a sentence or two each; what they cannot say is left out."""
    entries = sorted(found.entries, key=lambda e: -(e.accuracy.top1 if e.accuracy else 0.0))
    lines = []
    scored = [(e, e.accuracy) for e in entries if e.accuracy]
    if len(scored) > 1:
        lines.append(_most_accurate(scored))
    times = sorted(((t, e) for e in entries if (t := _time(e))), key=lambda pair: pair[0].estimate)
    if len(times) > 1:
        (fast, fastest), (slow, slowest) = times[0], times[-1]
        lines.append(
            f"One image takes from {_ms(fast)} ({fastest.model}) to {_ms(slow)} ({slowest.model}), "
            f"{slow.estimate / fast.estimate:.1f} times as long."
        )
    flops = [(e.flops, t.estimate) for t, e in times if e.flops]
    if len(flops) >= 4:
        rho = rank_correlation([f for f, _ in flops], [t for _, t in flops]).interval
        lines.append(
            f"FLOPs against time: rank correlation {rho.estimate:.2f} [{rho.low:.2f}, "
            f"{rho.high:.2f}] over {len(flops)} nets"
            + (": so few nets do not decide it." if rho.low < 0 < rho.high else ".")
        )
    return lines


def table(found: Shown) -> list[str]:
    """One row per model, the most accurate first."""
    methods = {m for e in found.entries if (m := energy_method(e.energy))}
    method = f" ({', '.join(sorted(methods))})" if methods else ""
    titles = ("Model", "Top-1 % [95 %]", "Params M", "FLOPs M", "1 image ms [95 %]")
    titles += (f"mJ/image{method}", "Trained by")
    rows = [titles, ("---", *["---:"] * (len(titles) - 2), "---")]
    ranked = sorted(found.entries, key=lambda e: -(e.accuracy.top1 if e.accuracy else 0.0))
    for e in ranked:
        gross = e.energy.gross.joules_per_image if e.energy and e.energy.gross else None
        cells = (e.model, top1(e.accuracy), number(e.params, ".2f", 1e-6))
        cells += (number(e.flops, ".1f", 1e-6), _ms(_time(e), unit=""), number(gross, ".2f", 1e3))
        rows.append((*cells, _trained(e, found.results)))
    return ["| " + " | ".join(map(plain, cells)) + " |" for cells in rows]


def _most_accurate(scored: Sequence[tuple[Entry, Accuracy]]) -> str:
    best, accuracy = scored[0]
    apart = accuracies_apart(tuple(a for _, a in scored))[0]
    tied = [e.model for (e, _), differs in zip(scored, apart, strict=True) if not differs][1:]
    text = f"Most accurate is {best.model}, {100 * accuracy.top1:.1f} % of {accuracy.images:,} "
    text += f"{accuracy.split} images"
    if not tied:
        return f"{text}; every other net is significantly less so."
    return f"{text}; not significantly different from it: {', '.join(tied)}."


def _trained(entry: Entry, results: Results) -> str:
    card = results.cards.get(entry.weights or "")
    if card is None:
        return "random weights" if entry.weights is None else DASH
    return card.recipe.split(",")[0] + (" (KD)" if card.distillation else "")


def _time(entry: Entry) -> Interval | None:
    """Of one image, with its interval."""
    single = (t for t in entry.latency if t.batch_size == 1 and t.clock == "wall")
    latency = next(single, None)
    return latency_interval(latency) if latency else None


def _ms(time: Interval | None, unit: str = " ms") -> str:
    if time is None:
        return DASH
    low, high = (f"{1e3 * t:.2f}" for t in (time.low, time.high))
    return f"{1e3 * time.estimate:.2f}{unit} [{low}, {high}]"
