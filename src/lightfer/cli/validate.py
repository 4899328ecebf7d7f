"""lightfer validate: what is wrong with a results file."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    results: Annotated[Path, typer.Argument(help="A results file.")] = Path("results.json"),
    print_schema: Annotated[
        bool, typer.Option("--print-schema", help="Print the JSON Schema instead.")
    ] = False,
) -> None:
    """Name the path of everything that breaks the schema or contradicts another figure.

    The exit status is 1 if there is anything. `--print-schema > schema/lightfer-1.schema.json`
    writes the repository's copy anew.
    """
    from lightfer.results.validate import json_schema_text, violations_of_file

    if print_schema:
        typer.echo(json_schema_text(), nl=False)
        return
    found = violations_of_file(results)
    for violation in found:
        typer.echo(str(violation))
    if found:
        raise typer.Exit(1)
    typer.echo(f"{results} is valid")
