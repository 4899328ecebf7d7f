"""lightfer compare: what changed between two results files."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(help="A results file: before.")],
    b: Annotated[Path, typer.Argument(help="A results file: after.")],
    run_to_run: Annotated[
        float | None,
        typer.Option(help="Standard deviation allowed between whole runs, as a fraction."),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare times of machines called unusable, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Say what changed from one results file to another, by how much, and if noise explains it.

    Refuses what is not comparable and says why. Either file may be the predecessor's.
    """
    import json
    from dataclasses import asdict

    from lightfer.report.compare import compare_files

    found = compare_files(a, b, run_to_run, anyway=anyway)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, allow_nan=False))
        return

    from rich.table import Table

    from lightfer.cli.console import stdout
    from lightfer.report.changes import HEADER, row

    console = stdout()
    table = Table(*HEADER)
    for change in found.changes:
        table.add_row(*row(change))
    console.print(table)
    for note in dict.fromkeys(c.note for c in found.changes if c.note):
        models = list(dict.fromkeys(c.model for c in found.changes if c.note == note))
        console.print(f"{', '.join(models)}: {note}", markup=False, highlight=False)
    for condition in found.conditions:
        console.print(f"conditions: {condition}", markup=False, highlight=False)
    for name, ids in ((a, found.only_in_a), (b, found.only_in_b)):
        for key in ids:
            console.print(f"only in {name}: {key}", markup=False, highlight=False)
    console.print(
        "Intervals: 95 %, one test at a time. Verdicts: corrected for the number of tests (Holm). "
        "Machine: what a fixed net changed by beside the model; it is taken out of the change."
    )
