"""lightfer table: results as a table: terminal, Markdown, LaTeX, CSV, Parquet or BoAmps."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from lightfer._files import output_file
from lightfer.errors import ArgumentError

if TYPE_CHECKING:
    from lightfer.report.readme import Shown

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def table(
    results: Annotated[Path, typer.Argument(help="A results file.")] = Path("results.json"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown on the output.")] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            parser=output_file, help=f"Put the finding and a short table between {BEGIN} and {END}."
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            parser=output_file, help="With --into: draw the trade-off here and show it there."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(parser=output_file, help="Write one row per entry, every figure, as CSV."),
    ] = None,
    latex: Annotated[
        Path | None,
        typer.Option(parser=output_file, help="Write the table for LaTeX, with booktabs."),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(parser=output_file, help="Write the same rows as a Parquet file.")
    ] = None,
    boamps: Annotated[
        Path | None,
        typer.Option(help="Write one BoAmps report (JSON) per known energy into this folder."),
    ] = None,
) -> None:
    """Print the table of a results file, write it into a README, or export every figure."""
    import json

    from lightfer._files import (
        STDOUT,
        check_outputs,
        check_writable,
        is_stream,
        read_text,
        write_text,
    )
    from lightfer.report.exchange.boamps import reports
    from lightfer.report.exchange.flat import csv_text, write_parquet
    from lightfer.report.readme import block, shown
    from lightfer.report.tables import markdown as as_markdown
    from lightfer.results import filled, read_results

    if figure is not None and into is None:
        raise ArgumentError("--figure is shown in what --into names: give both, or leave it out")
    outputs = (into, figure, csv, latex, parquet)
    check_outputs(outputs, [results, boamps])
    if markdown and STDOUT in outputs:
        raise ArgumentError("--markdown is standard output, as - is: name a file for one of them")
    aside = markdown or any(path is not None and is_stream(path) for path in outputs)
    if boamps is not None:
        check_writable(boamps, folder=True)
    found = filled(read_results(results), results)
    if csv is not None:
        write_text(csv, csv_text(found))
        typer.echo(f"{len(found.entries)} rows written to {csv}", err=aside)
    if parquet is not None:
        write_parquet(parquet, found)
        typer.echo(f"{len(found.entries)} rows written to {parquet}", err=aside)
    if latex is not None:
        from lightfer.report.exchange.latex import latex as as_latex

        write_text(latex, as_latex(found))
        typer.echo(f"table written to {latex}", err=aside)
    if boamps is not None:
        written = dict(reports(found))
        check_outputs([boamps / name for name in written], [results])
        for name, report in written.items():
            write_text(boamps / name, json.dumps(report, indent=1, allow_nan=False) + "\n")
        typer.echo(f"{len(written)} reports written to {boamps}", err=aside)
    if into is not None:
        chosen = shown(found)
        if chosen is None:
            raise ArgumentError(f"{results} holds no net with a time in float32: there is no table")
        text = read_text(into)
        replace_block(text, "", into)  # that it can be is known before the figure is drawn
        line = show_figure(chosen, figure, into) if figure is not None else ""
        write_text(into, replace_block(text, block(chosen, line)))
        typer.echo(f"table written into {into}", err=aside)
    if markdown:
        typer.echo(as_markdown(found), nl=False)
    elif all(path is None for path in (csv, parquet, latex, boamps, into)):
        from lightfer.cli.console import print_results

        print_results(found)


def show_figure(chosen: "Shown", path: Path, beside: Path) -> str:
    """Draw accuracy against time at `path`; the line of Markdown that shows it in `beside`."""
    from lightfer.report.figures import shown_trade_off, trade_off, write_chart

    chart = trade_off(chosen.results, times=chosen.times)
    if chart is None:
        raise ArgumentError("no model has both an accuracy and a time: there is no figure to draw")
    write_chart(chart, path)
    address = Path(os.path.relpath(path.resolve(), beside.resolve().parent)).as_posix()
    address = quote(address, errors="surrogateescape")
    return shown_trade_off(chosen.results, address, chosen.times)


def replace_block(text: str, block: str, path: Path | str = "the file") -> str:
    """`text`, of `path`, with what stands between the two marks replaced, in its line ends. Raises
    ValueError without them.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ArgumentError(f"{path} has no block {BEGIN} ... {END}: add both lines first")
    line_end = "\r\n" if rest.startswith("\r\n") else "\n"
    block = f"\n{block}".replace("\n", line_end)
    return f"{head}{BEGIN}{block}{END}{tail}"
