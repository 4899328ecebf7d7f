"""lightfer merge: many results files as one."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lightfer._files import output_file


def merge(
    files: Annotated[
        list[Path], typer.Argument(help="Results files, or folders of them: native, browser, both.")
    ],
    out: Annotated[Path, typer.Option(parser=output_file, help="The one file.")],
) -> None:
    """Put results files of many devices into one, for `report`, `rank` and `compare`.

    Where one device measured the same net several times, its last run stays; one that failed or was
    quick stays only where there is no better one. If any file cannot be used, all such are named
    and nothing is written.
    """
    from lightfer._files import check_outputs, is_stream
    from lightfer.cli.console import progress
    from lightfer.results import write_results
    from lightfer.results.merge import listed, merge_files

    found = listed(files)
    check_outputs([out], [*files, *found], [".json"])
    with progress() as bar:
        merged, count = merge_files(found, on_step=bar, say=partial(typer.echo, err=True))
        bar(f"writing {out.name}", count, count)
        write_results(out, merged)
    typer.echo(
        f"{count} files, {len(merged.environments)} runs, {len(merged.entries)} entries: {out}",
        err=is_stream(out),
    )
