"""lightfer choose: which model to take under limits, why, and the command that exports it."""

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.report.choose import Candidate, Choice, Limits
    from lightfer.results import Entry

ONNX = ("onnx", ".onnx")
EXPORTS = {
    "onnxruntime": ONNX,
    "onnxruntime-web": ONNX,
    "onnxruntime-webgpu": ONNX,
    "openvino": ("openvino", ".xml"),
}


def choose(
    results: Annotated[
        Path | None, typer.Argument(help="A results file; default: the published one.")
    ] = None,
    max_ms: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="Milliseconds of one image.")
    ] = None,
    max_mb: Annotated[
        float | None, typer.Option(min=0, max=1e9, help="Megabytes to store.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Top-1 as a fraction, as 0.65.")
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="Only this one; default: all that were measured.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Only this one; default: all that were measured.")
    ] = None,
) -> None:
    """Say which model to take, on each machine of a results file, and how to export it.

    Of the models within the limits, those whose accuracy is not significantly different from the
    highest; of these the fastest. The page of `lightfer report` answers by the same rule.
    """
    from lightfer._files import published_results
    from lightfer.cli.console import stdout
    from lightfer.report.cells import conditions
    from lightfer.report.choose import Limits, choose
    from lightfer.results import filled, read_results
    from lightfer.results.select import Times

    path = results or published_results()
    found = filled(read_results(path, passes=False), path)
    size = None if max_mb is None else round(max_mb * 1e6)
    limits = Limits(None if max_ms is None else max_ms / 1e3, size, min_accuracy)
    entries = [
        e
        for e in found.entries
        if runtime in (None, e.runtime) and precision in (None, e.precision)
    ]
    if not entries:
        ways = dict.fromkeys(f"{e.runtime} {e.precision}" for e in found.entries)
        raise ArgumentError(
            f"{path}: no entry of {runtime or 'any runtime'} in {precision or 'any precision'}; "
            f"there are {', '.join(ways)}"
        )
    console, times, picked = stdout(), Times(found), False
    for environment, device in dict.fromkeys((e.environment, e.device) for e in entries):
        here = [e for e in entries if (e.environment, e.device) == (environment, device)]
        choice = choose(here, times, limits)
        about = found.environments.get(environment)
        lines = [conditions(about) if about else environment]
        lines += answer(choice, limits)
        picked |= choice.pick is not None
        console.print("\n".join(lines), soft_wrap=True)
        console.print()
    if results is None:
        typer.echo("These are the published figures; yours: lightfer bench, then lightfer choose "
                   "out/results.json", err=True)  # fmt: skip
    if not picked:
        raise typer.Exit(1)


def answer(choice: "Choice", limits: "Limits") -> list[str]:
    """The pick with its figures, why, what else there is, and how to get it as a file."""
    pick, best = choice.pick, choice.best
    if pick is None or best is None:
        return _nothing(choice)
    several = len(choice.fitting) > 1
    lines = ["", f"Take {_name(pick)}: {_figures(pick)}", ""]
    kept = f"the {len(choice.fitting)} of {len(choice.candidates)} that keep the limits"
    field = kept if limits else f"all {len(choice.candidates)}"
    if not several:
        of = f"one of {len(choice.candidates)} that keeps the limits" if limits else "model here"
        lines.append(f"The only {of}.")
    elif pick is best:
        lines.append(f"It is the most accurate of {field}.")
    else:
        points = 100 * (best.accuracy.top1 - pick.accuracy.top1)
        lines.append(
            f"Of {field}, {_name(best)} is the most accurate ({_top1(best)}). The difference of "
            f"{points:.1f} points is not significant, and of those of which this holds "
            f"{_name(pick)} is the fastest."
        )
    if choice.equals:
        others = ", ".join(f"{_name(c)} ({1e3 * c.time.estimate:.2f} ms)" for c in choice.equals)
        lines.append(f"Not significantly less accurate either: {others}.")
    lines += [
        f"The 95 % interval of its {what} reaches beyond the limit."
        for what in pick.crosses(limits)
    ]
    if pick.accuracy.source == "reference":
        lines.append("Its accuracy is quoted from the weights' card, not measured in this run.")
    if pick.accuracy.labels == "synthetic":
        lines.append("Accuracies here are of drawn faces and say nothing of real ones.")
    for other in choice.faster:
        lost = 100 * (pick.accuracy.top1 - other.accuracy.top1)
        ratio = pick.time.estimate / other.time.estimate
        lines.append(f"{ratio:.1f} times as fast, {lost:.1f} points less: {_name(other)}.")
    return [*lines, "", *how_to_get(pick.entry)]


def how_to_get(entry: "Entry") -> list[str]:
    """The command that makes the file, or the line that makes the net in PyTorch."""
    from lightfer._files import file_name, sha256_of, shipped

    if entry.weights is None:
        return ["Its weights were random: there is no file of them."]
    file = shipped(entry.model)
    here = file is not None and sha256_of(file) == entry.weights
    in_bfloat16 = ".to(torch.bfloat16) on net and images"
    if entry.runtime in EXPORTS:
        target, suffix = EXPORTS[entry.runtime]
        own = f"{entry.model}=" if ":" in entry.model else ""  # a network of the user's
        key = quote(entry.model if here else f"{own}WEIGHT_FILE")
        out = quote(file_name(entry.model) + suffix)
        command = f"lightfer export {key} --to {target} --out {out}"
        if entry.precision == "int8":
            command += " --precision int8 --data fer2013.csv"
        lines = [f"Export it: {command}"]
        in_bfloat16 = "INFERENCE_PRECISION_HINT=bf16"
    else:
        weights = "pretrained=True" if here else '"WEIGHT_FILE"'
        lines = [f"In Python: lightfer.create_model({json.dumps(entry.model)}, {weights})"]
        if entry.runtime != "pytorch":
            by = "torch.compile" if entry.runtime == "compile" else f"the runtime {entry.runtime}"
            lines.append(f"Its time is that of the net in {by}.")
    if not here:
        lines.append(f"WEIGHT_FILE is the one with the sha256 {entry.weights}; it is not shipped.")
    if entry.precision == "bfloat16" and entry.runtime in ("pytorch", "compile", "openvino"):
        lines.append(f"It computes in bfloat16 with {in_bfloat16}.")
    return lines


def _nothing(choice: "Choice") -> list[str]:
    """Nothing fits: what would, if one limit were looser."""
    able = choice.candidates
    if not able:
        return ["", "No entry has both an accuracy and two rounds of one image: nothing to choose."]
    fast = min(able, key=lambda c: c.time.estimate)
    accurate = max(able, key=lambda c: c.accuracy.top1)
    sized = [c for c in able if c.stored_bytes is not None]
    small = min(sized, key=lambda c: c.stored_bytes or 0, default=None)
    lines = ["", f"None of {len(able)} keeps the limits. The extremes are:"]
    lines += [f"- fastest: {_name(fast)}: {_figures(fast)}"]
    lines += [f"- smallest: {_name(small)}: {_figures(small)}"] if small else []
    return [*lines, f"- most accurate: {_name(accurate)}: {_figures(accurate)}"]


def _name(candidate: "Candidate") -> str:
    e = candidate.entry
    return f"{candidate.name} in {e.runtime} {e.precision}"


def _figures(candidate: "Candidate") -> str:
    from lightfer.report.cells import milliseconds

    size = candidate.stored_bytes
    stored = "size unknown" if size is None else f"{size / 1e6:.2f} MB"
    return f"{_top1(candidate)}, {milliseconds(candidate.time, ' ms')} an image, {stored}"


def _top1(candidate: "Candidate") -> str:
    low, high = candidate.accuracy.ci95
    return f"{100 * candidate.accuracy.top1:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
