"""Figures to text: the one place where numbers are rounded and get their units.

Accuracies that were not measured in the run but quoted from a weights' card are marked `(ref)`,
energies with how they were obtained and of how many images at once, `(counter, batch 64)` or
`(modelled, batch 1)`; unknown is a dash.
"""

import re
from collections.abc import Iterable, Sequence

from lightfer.results import Accuracy, Energy, Entry, Environment
from lightfer.results.stats import Interval

DASH = "–"  # noqa: RUF001
HEADLINE = "pytorch float32"
RUNTIMES = ("torch", "onnxruntime-web")  # whose versions stand below a table; of neither, these:
WITHOUT_TORCH = ("onnxruntime", "openvino")


def subject(entry: Entry, name: str = "") -> str:
    """The model, or its name of `net_names`, and runtime and precision where they are not PyTorch's
    float32.
    """
    name = name or entry.model
    return name if variant_name(entry) == HEADLINE else f"{name} ({variant_name(entry)})"


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
    if isinstance(time, Interval):
        return bounded(time, form, 1e3 / images, unit)
    return DASH if time is None else number(time, form, 1e3 / images) + unit


def bounded(found: Interval, form: str, factor: float = 1.0, unit: str = "") -> str:
    """An estimate times `factor` with its bounds."""
    value, low, high = (number(x, form, factor) for x in (found.estimate, found.low, found.high))
    return f"{value}{unit} [{low}, {high}]"


def number(value: float | None, form: str, factor: float = 1.0) -> str:
    """The value times `factor`, or a dash."""
    return DASH if value is None else format(value * factor, form)


def variant_name(entry: Entry) -> str:
    """Runtime and precision, as they stand beside a model."""
    return f"{entry.runtime} {entry.precision}"


def plain(text: str) -> str:
    """One line of Markdown: no cell is ended, no tag is opened, and no picture or link is made by a
    string of a file.
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    line = line.replace("\\", r"\\").replace("|", r"\|").replace("](", r"]\(")
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)  # what looks like one is no character reference
    return line.replace("<", "&lt;").replace("`", "'")


def _cell(text: str) -> str:
    """As `plain`, and nothing is bold or in italics."""
    return re.sub(r"[*]|(?<!\w)_|_(?!\w)", r"\\\g<0>", plain(text))


def markdown_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], middle: str = "---"
) -> list[str]:
    """The lines of a table in Markdown; `middle` aligns all but the first and the last column."""
    rule = ["---", *[middle] * (len(titles) - 2), "---"][: len(titles)]
    return ["| " + " | ".join(map(_cell, cells)) + " |" for cells in (titles, rule, *rows)]


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
    able = f" ({', '.join(environment.instructions)})" if environment.instructions else ""
    return (
        f"{environment.name}{able}, {threads(environment.threads)} of {environment.cores} cores, "
        f"{', '.join(shown)}, allocator: {environment.allocator}; "
        f"{source}; {environment.started[:10]}{_noise(environment, '**' if strong else '')}."
    )


def _noise(environment: Environment, mark: str) -> str:
    """The verdict on noise and its reasons, where it was not quiet; else nothing."""
    found = environment.noise
    if found is None or found.verdict == "quiet":
        return ""
    return f"; {mark}{found.verdict}{mark} machine: {', '.join(noise_reasons(environment))}"


def noise_reasons(environment: Environment) -> tuple[str, ...]:
    """Why a machine was not quiet, and which rounds waiting for it did not mend."""
    waiting = environment.protocol and environment.protocol.waiting
    left = ()
    if waiting and (count := waiting.disturbed):
        left = (f"{count} rounds disturbed in spite of {waiting.minutes:g} min to wait",)
    return (*(environment.noise.reasons if environment.noise else ()), *left)


def joules_each(energy: Energy | None) -> str:
    """Millijoules per image, gross, with the 95 % interval if there is one, and the method."""
    if energy is None or energy.gross is None:
        return DASH
    text = number(energy.gross.joules_per_image, ".2f", 1e3)
    if energy.ci95 is not None:
        text += f" [{1e3 * energy.ci95[0]:.2f}, {1e3 * energy.ci95[1]:.2f}]"
    return text + method_mark(energy)


def energy_method(energy: Energy | None) -> str | None:
    """How the figure was obtained: `counter`, `modelled`, `simulated`, ...; None without one."""
    if energy is None or not energy.method():
        return None
    return "simulated" if energy.simulated else energy.method()


def energy_basis(energy: Energy | None) -> str | None:
    """How the figure was obtained, and of how many images at once; None without one."""
    method = energy_method(energy)
    if not method or energy is None or energy.batch_size is None:
        return method
    return f"{method}, batch {energy.batch_size}"


def method_mark(energy: Energy | None) -> str:
    """What to print behind a figure: its `energy_basis`."""
    basis = energy_basis(energy)
    return f" ({basis})" if basis else ""
