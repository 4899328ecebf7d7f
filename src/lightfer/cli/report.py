"""lightfer report: the page and the figures of one or several results files."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lightfer._files import output_file


def report(
    results: Annotated[list[Path], typer.Argument(help="Results files; machines are merged.")],
    html: Annotated[
        Path | None,
        typer.Option(parser=output_file, help="Write one HTML file that works offline."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Write figures for papers here, PNG and SVG.")
    ] = None,
) -> None:
    """Show which model to take: an interactive page, and figures for papers.

    Without options the page goes to report.html. `--figures` needs the extra `report`.
    """
    from lightfer._files import check_outputs, check_writable, is_stream, write_text
    from lightfer.cli.console import progress
    from lightfer.results.merge import merge_files

    if html is None and figures is None:
        html = Path("report.html")
    check_outputs([html], [*results, figures], [".json"])
    if figures is not None:
        check_writable(figures, folder=True)
    aside = html is not None and is_stream(html)
    merged, _ = merge_files(results, passes=False, say=partial(typer.echo, err=True))
    if html is not None:
        from lightfer.report.page.build import page

        with progress() as bar:
            text = page(merged, on_step=bar)
        write_text(html, text)
        size = f"{len(text) / 1e6:.2f} MB"
        typer.echo(f"{len(merged.entries)} entries written to {html}, {size}", err=aside)
    if figures is not None:
        from lightfer.report.figures import write_figures

        with progress() as bar:
            written = write_figures(merged, figures, on_step=bar)
        typer.echo(f"{len(written)} files written to {figures}", err=aside)
