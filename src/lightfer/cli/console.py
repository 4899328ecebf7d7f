"""What the commands share: finding data, progress bars, tables on the terminal."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from lightfer._files import check_outputs
from lightfer.errors import ArgumentError
from lightfer.report.cells import conditions, number, subject, top1
from lightfer.report.notes import notes
from lightfer.report.tables import table
from lightfer.results import Accuracy, Results, add_results, write_results
from lightfer.results.merge import left_out
from lightfer.results.select import Times

if TYPE_CHECKING:  # a table or a report needs no torch
    from lightfer.data import Dataset, SplitName

NO_DATA = (
    "no FER2013 found (--data, LIGHTFER_DATA, or the cache); accuracy is quoted from the weights' "
    "cards and marked (ref)"
)

NO_TORCH = (
    "torch is not installed: shipped nets are measured as ONNX files; accuracy is quoted from the "
    "weights' cards and marked (ref)"
)


MOST_RULED = 1000  # rows of a table with rules; rich takes a minute for 60,000


def print_json(value: Any) -> None:
    """Dataclasses, records and what holds them, a line an item, in ASCII for any terminal."""
    text = json.dumps(msgspec.to_builtins(value), allow_nan=False)
    typer.echo(msgspec.json.format(text, indent=1))  # json.dumps itself indents slowly


def find_data(source: str | None, *, needed: "Sequence[SplitName]") -> "Dataset | None":
    """As `load_data`, but None, and a note that says so, where no data is found.

    Raises ArgumentError for a source where torch is not installed, in whose tensors data is read.
    """
    from lightfer.measure.process import torch_installed

    if not torch_installed():
        if source not in (None, "none"):
            raise ArgumentError(
                f"--data {source}: data is read with torch, which is not installed; without --data "
                "accuracy is quoted from the weights' cards"
            )
        typer.echo(NO_TORCH, err=True)
        return None
    from lightfer.data import find

    if source == "none" or find(source) is None:
        typer.echo(NO_DATA, err=True)
        return None
    return load_data(source, needed=needed)


def load_data(
    source: str | None,
    *,
    needed: "Sequence[SplitName]",
    only_needed: bool = False,
    size: int | None = None,
) -> "Dataset":
    """The data that `source`, the environment or the cache name; what is used is said.

    Reads every split that there is, or the `needed` ones only, in images of `size` pixels a side,
    None: FER2013's. Raises DataError if one of these
    is missing or the data cannot be read, ValueError if none is found.
    """
    from lightfer.data import load
    from lightfer.data.dataset import IMAGE_SIZE

    splits = needed if only_needed else None
    dataset = load(find_source(source), splits, size or IMAGE_SIZE)
    for split in needed:
        dataset[split]
    typer.echo(f"data: {dataset.description}", err=True)
    return dataset


def check_beside_data(
    outputs: Iterable[Path | None], inputs: Iterable[str | Path | None], data: str | None
) -> None:
    """As `check_outputs`, of a command that reads `data`, or what the environment names."""
    from lightfer.data.members import DATA_SUFFIXES
    from lightfer.data.pictures import SUFFIXES

    data = data or os.environ.get("LIGHTFER_DATA")
    check_outputs(outputs, [*inputs, data], {*DATA_SUFFIXES, *SUFFIXES})


def find_source(source: str | None) -> str:
    """What `source`, the environment or the cache name. Raises ValueError if nothing is known."""
    from lightfer.data import find

    found = find(source)
    if found is None:
        raise ArgumentError(
            "no data: give --data PATH (or 'synthetic'), set LIGHTFER_DATA, or run "
            "`lightfer data fetch`"
        )
    return found


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; call it with a text, the steps done and their number."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("starting", total=None)

        def update(text: str, done: int, of: int) -> None:
            bar.update(task, description=text, completed=done, total=of)

        yield update


def stdout(*, err: bool = False) -> Console:
    """Standard output, or with `err` standard error; names are printed as they are.

    Wide enough for every table where it is not a terminal.
    """
    console = Console(stderr=err, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 160
    return console


def print_table(console: Console, table: Table) -> None:
    """A table; where the terminal is too narrow for it, a paragraph a row, with no name broken.

    Where it is not a terminal and has more than `MOST_RULED` rows, without rules: plain columns.
    """
    if table.row_count > MOST_RULED and not console.is_terminal:
        _print_plain(console, table)
        return
    wide = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    if wide <= console.width or not console.is_terminal:
        console.width = max(console.width, wide)
        console.print(table)
        return
    for title in filter(None, (table.title, table.caption)):
        console.print(title, soft_wrap=True)
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    for name, *cells in zip(*columns, strict=True):
        console.print(name, soft_wrap=True)
        for column, cell in zip(table.columns[1:], cells, strict=True):
            console.print(f"  {column.header}: {cell}", soft_wrap=True)


def _print_plain(console: Console, table: Table) -> None:
    """Its title, heading, rows and caption, the columns padded with spaces."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    for column, cells in zip(table.columns, columns, strict=True):
        widths = [cell_len(cell) for cell in cells]
        widest = max(widths)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            space = " " * (widest - width)
            cells[i] = space + cell if column.justify == "right" else cell + space
    rows = ("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))
    title, caption = (text and str(text) for text in (table.title, table.caption))
    lines = (line for line in (title, *rows, caption) if line)
    console.file.writelines(f"{line}\n" for line in lines)


def keep_results(out: Path, results: Results, *, append: bool) -> None:
    """Write them, or add them to what the file holds; what it has better figures of is left out,
    and named on standard error.
    """
    if not append:
        write_results(out, results)
    elif text := left_out(add_results(out, results), [results]):
        typer.echo(f"{out}: {text}", err=True)


def print_results(results: Results, *, err: bool = False) -> None:
    """One table per environment on standard output, or standard error."""
    console, times = stdout(err=err), Times(results)
    for key, environment in results.environments.items():
        entries = [entry for entry in results.entries if entry.environment == key]
        titles, rows = table(entries, times)
        shown = Table(caption=conditions(environment), caption_justify="left")
        for i, title in enumerate(titles):
            shown.add_column(title, justify="right" if i else "left", overflow="fold")
        for cells in rows:
            shown.add_row(*cells)
        print_table(console, shown)
        for entry in entries:
            if entry.error:
                console.print(f"{subject(entry)} failed: {entry.error}")
        for note in notes(entries, times, results.cards):
            console.print(note)


def print_accuracy(accuracy: Accuracy, others: Sequence[Accuracy]) -> None:
    """The headline, the classes and the confusion matrix on standard output."""
    console = stdout()
    console.print(
        f"{_heading(accuracy)}, macro-F1 {number(accuracy.macro_f1, '.3f')}, "
        f"balanced accuracy {number(accuracy.balanced_accuracy, '.3f')}, "
        f"calibration error {number(accuracy.ece, '.3f')}"
    )
    scores = accuracy.per_class or ()
    classes = Table("Class", *_right("Images", "Precision", "Recall", "F1"))
    confusion = Table("True \\ predicted", *_right(*(score.name for score in scores)))
    for score, counts in zip(scores, accuracy.confusion or (), strict=True):
        figures = [number(f, ".3f") for f in (score.precision, score.recall, score.f1)]
        classes.add_row(score.name, f"{score.images:,}", *figures)
        confusion.add_row(score.name, *map(str, counts))
    print_table(console, classes)
    print_table(console, confusion)
    for other in others:
        console.print(_heading(other))


def _heading(accuracy: Accuracy) -> str:
    return (
        f"{accuracy.split} ({accuracy.labels} labels), {accuracy.view} view, "
        f"{accuracy.images:,} images: top-1 % {top1(accuracy)}"
    )


def _right(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, justify="right") for title in titles)
