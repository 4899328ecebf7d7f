"""lightfer table: results as a table, on the terminal, in Markdown, CSV, Parquet or BoAmps."""

from pathlib import Path
from typing import Annotated

import typer

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def table(
    results: Annotated[Path, typer.Argument(help="A results file.")] = Path("results.json"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown on the output.")] = False,
    into: Annotated[
        Path | None, typer.Option(help=f"Replace what stands between {BEGIN} and {END}.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write one row per entry, every figure, as CSV.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write the same rows as a Parquet file.")
    ] = None,
    boamps: Annotated[
        Path | None,
        typer.Option(help="Write one BoAmps report (JSON) per known energy into this folder."),
    ] = None,
) -> None:
    """Print the table of a results file, write it into a README, or export every figure."""
    import json

    from lightfer.files import write_text
    from lightfer.report.boamps import reports
    from lightfer.report.flat import csv_text, write_parquet
    from lightfer.report.tables import markdown as as_markdown
    from lightfer.results import read_results

    found = read_results(results)
    if csv is not None:
        write_text(csv, csv_text(found))
        typer.echo(f"{len(found.entries)} rows written to {csv}")
    if parquet is not None:
        write_parquet(parquet, found)
        typer.echo(f"{len(found.entries)} rows written to {parquet}")
    if boamps is not None:
        written = dict(reports(found))
        for name, report in written.items():
            write_text(boamps / name, json.dumps(report, indent=1, allow_nan=False) + "\n")
        typer.echo(f"{len(written)} reports written to {boamps}")
    if csv is not None or parquet is not None or boamps is not None:
        return
    if into is not None:
        write_text(into, replace_block(into.read_text(encoding="utf-8"), as_markdown(found)))
        typer.echo(f"table written into {into}")
    elif markdown:
        typer.echo(as_markdown(found), nl=False)
    else:
        from lightfer.cli.console import print_results

        print_results(found)


def replace_block(text: str, block: str) -> str:
    """`text` with what stands between the two marks replaced. Raises ValueError without them."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the file has no block {BEGIN} ... {END}: add both lines first")
    return f"{head}{BEGIN}\n{block}{END}{tail}"
