"""lightfer compare: what changed between two results files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.report.compare import Comparison


def compare(
    a: Annotated[Path, typer.Argument(help="A results file: before.")],
    b: Annotated[Path, typer.Argument(help="A results file: after.")],
    run_to_run: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=10,
            help="Standard deviation allowed between whole runs, as a fraction; default: 0.03, of "
            "raw times and energies 0.12.",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare times of machines called unusable, too.")
    ] = False,
    fail_slower: Annotated[
        str | None,
        typer.Option(
            help="Exit with 1 if a time grew significantly and by more than this, as 10%."
        ),
    ] = None,
    fail_accuracy: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Exit with 1 if top-1 fell significantly and by more points."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown, for the comment of a pull request.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Say what changed from one results file to another, by how much, and if noise explains it.

    Refuses what is not comparable and says why. Either file may be the predecessor's. With a limit
    the exit code is 1 where it is passed, else 3 where rows are refused or missing.
    """
    from lightfer.cli.console import print_json
    from lightfer.report.compare import compare_files
    from lightfer.report.gate import Limits, judge
    from lightfer.report.gate import markdown as as_markdown

    if as_json and markdown:
        raise ArgumentError("--json and --markdown are two forms of one output: give one of them")
    limits = Limits(
        slower=None if fail_slower is None else _percent(fail_slower),
        accuracy=None if fail_accuracy is None else fail_accuracy / 100,
    )
    found = compare_files(a, b, run_to_run, anyway=anyway)
    verdict = judge(found, limits) if limits != Limits() else None
    if as_json:
        print_json(found)
    elif markdown:
        typer.echo(as_markdown(found, verdict), nl=False)
    else:
        _print(found, a, b)
    if verdict:
        typer.echo(verdict.sentence(), err=True)
        for change in verdict.failed:
            typer.echo(f"{change.model}, {change.what}: {change.verdict}", err=True)
        raise typer.Exit(verdict.code)


def _percent(text: str) -> float:
    """A fraction from "10%" or "10"."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentError(f"--fail-slower is {text!r}, expected percent of at least 0, as 10%")
    return value / 100


def _print(found: "Comparison", a: Path, b: Path) -> None:
    """All rows as a table, with their notes."""
    from rich.table import Table

    from lightfer.cli.console import print_table, stdout
    from lightfer.report.changes import HEADER, row

    console = stdout()
    table = Table(*HEADER)
    for change in found.changes:
        table.add_row(*row(change))
    print_table(console, table)
    for note in dict.fromkeys(c.note for c in found.changes if c.note):
        models = list(dict.fromkeys(c.model for c in found.changes if c.note == note))
        console.print(f"{', '.join(models)}: {note}")
    for condition in found.conditions:
        console.print(f"conditions: {condition}")
    for name, ids in ((a, found.only_in_a), (b, found.only_in_b)):
        for key in ids:
            console.print(f"only in {name}: {key}")
    console.print(
        "Intervals: 95 %, one test at a time. Verdicts: corrected for the number of tests (Holm). "
        "Machine: what a fixed net changed by beside the model; it is taken out of the change."
    )
