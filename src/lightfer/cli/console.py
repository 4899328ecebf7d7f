"""What the commands share: finding data, progress bars, tables on the terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from lightfer.data import Dataset, SplitName, find, load
from lightfer.report.tables import conditions, header, number, row, top1
from lightfer.results import Accuracy, Results

NO_DATA = (
    "no FER2013 found (--data, LIGHTFER_DATA, or the cache); accuracy is quoted from the weights' "
    "cards and marked (ref)"
)


def load_data(
    source: str | None, *, splits: Sequence[SplitName], optional: bool = False
) -> Dataset | None:
    """The data that `source`, the environment or the cache name; None only if `optional`.

    Says on standard error what is used. Raises DataError if it cannot be read, or if none is found
    where it is needed.
    """
    found = None if source == "none" else find(source)
    if found is None:
        if not optional:
            raise ValueError("no data: give --data PATH (or 'synthetic') or set LIGHTFER_DATA")
        typer.echo(NO_DATA, err=True)
        return None
    dataset = load(found, splits)
    counts = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    typer.echo(f"data: {dataset.label} ({counts})", err=True)
    return dataset


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; call it with a text, the steps done and their number."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(text: str, done: int, of: int) -> None:
            bar.update(task, description=text, completed=done, total=of)

        yield update


def stdout() -> Console:
    """Standard output; wide enough for every table where it is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def print_results(results: Results) -> None:
    """One table per environment on standard output."""
    console = stdout()
    for key, environment in results.environments.items():
        entries = [entry for entry in results.entries if entry.environment == key]
        titles = header(entries)
        table = Table(caption=conditions(environment), caption_justify="left")
        for i, title in enumerate(titles):
            table.add_column(title, justify="right" if i else "left", overflow="fold")
        for entry in entries:
            table.add_row(*row(entry))
        console.print(table)
        for entry in entries:
            if entry.error:
                console.print(f"{entry.model} failed: {entry.error}", markup=False)


def print_accuracy(accuracy: Accuracy) -> None:
    """The headline, the classes and the confusion matrix on standard output."""
    console = stdout()
    console.print(
        f"{accuracy.split} ({accuracy.labels}), {accuracy.view} view, {accuracy.images:,} images: "
        f"top-1 {top1(accuracy)} %, macro-F1 {number(accuracy.macro_f1, '.3f')}, "
        f"balanced accuracy {number(accuracy.balanced_accuracy, '.3f')}, "
        f"calibration error {number(accuracy.ece, '.3f')}",
        markup=False,
        highlight=False,
    )
    scores = accuracy.per_class or ()
    classes = Table("Class", *_right("Images", "Precision", "Recall", "F1"))
    confusion = Table("True \\ predicted", *_right(*(score.name for score in scores)))
    for score, counts in zip(scores, accuracy.confusion or (), strict=True):
        figures = [number(f, ".3f") for f in (score.precision, score.recall, score.f1)]
        classes.add_row(score.name, f"{score.images:,}", *figures)
        confusion.add_row(score.name, *map(str, counts))
    console.print(classes)
    console.print(confusion)


def _right(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, justify="right") for title in titles)
