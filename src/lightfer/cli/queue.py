"""lightfer queue: train a list of models within a time budget, over several days and machines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightfer._files import output_file

if TYPE_CHECKING:
    from lightfer.train.sweep.items import Item
    from lightfer.train.sweep.run import Report, Session
    from lightfer.train.sweep.work import Options


def queue(
    items: Annotated[Path, typer.Argument(help="The list (TOML), or the pack of a queue (.zip).")],
    data: Annotated[str | None, typer.Option(help="FER2013, or 'synthetic'.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the queue; default: runs/LIST.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, max=1e6, help="Time budget; default: until everything is trained."),
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(parser=output_file, help="Zip to write at the end, for another machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Items side by side; default: as many as fit, on a GPU one."
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(help="pool, ray[:ADDRESS], dask:ADDRESS, slurm, or package.module:factory."),
    ] = "pool",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of each worker.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train the items in order of value, stop in time, pack; the same command continues.

    A list has one [[item]] per training: model, and if wanted name, recipe, seed, value, settings,
    folds, teachers. The state is kept after every epoch. Of the test split
    only items without copies look, at its pixels.
    """
    from time import monotonic

    begun = monotonic()

    from lightfer._files import check_writable, read_text, write_text
    from lightfer.cli.console import check_beside_data, find_source, progress
    from lightfer.train.sweep.items import items_in
    from lightfer.train.sweep.pack import unpack
    from lightfer.train.sweep.run import run_queue
    from lightfer.train.sweep.work import Options

    folder = out or Path("runs") / items.stem
    check_writable(folder, folder=True)
    packed = items.suffix == ".zip"
    check_beside_data([pack], [None if packed else items], data)
    if packed and not unpack(items, folder):
        typer.echo(f"{folder} is there: it is continued, {items} is not unpacked again", err=True)
    text = read_text(path := folder / "queue.toml" if packed else items)
    listed = items_in(text, path)
    if not packed:
        write_text(folder / "queue.toml", text)
    options = Options(
        folder=folder,
        data=find_source(data),
        device=device,
        workers=workers or (1 if executor == "pool" and device != "cpu" else None),
        threads=threads,
        budget_s=None if minutes is None else 60 * minutes,
        pack=pack,
        executor=executor,
    )
    with progress() as bar:
        show = _Show(bar, len(listed))
        session = run_queue(listed, options, begun=begun, on_report=show)
    _say(session, listed, options)
    if session.failed:
        raise typer.Exit(1)


class _Show:
    """Lines for what has ended, and a bar with what runs."""

    def __init__(self, bar: Callable[[str, int, int], None], items: int) -> None:
        self.bar, self.items = bar, items
        self.running: dict[str, str] = {}
        self.ended = 0

    def __call__(self, report: "Report") -> None:
        if report.kind in ("begun", "epoch"):
            self.running[report.item] = f"{report.item}: {report.epochs} epochs done"
        else:
            self.running.pop(report.item, None)
            self.ended += 1
            top1 = "" if report.top1 is None else f", validation top-1 {100 * report.top1:.2f} %"
            typer.echo(f"{report.item} {report.kind}{top1}{report.error and ': ' + report.error}")
        self.bar("; ".join(self.running.values()), self.ended, self.items)


def _say(session: "Session", listed: "Sequence[Item]", options: "Options") -> None:
    """What the time went into, and what is left."""
    from lightfer.train.sweep.teachers import weights_of

    left = [item.name for item in listed if not weights_of(item, options.folder).exists()]
    budget = "" if session.budget_s is None else f" of {session.budget_s:.0f} s"
    parts = {"epochs cut off": session.lost_s, "pack": session.pack_s}
    costs = ", ".join(f"{name} {value:.1f} s" for name, value in parts.items() if value is not None)
    typer.echo(f"{session.wall_s:.1f} s{budget}: {session.epochs} epochs; {costs}")
    if options.pack:
        typer.echo(f"packed in {options.pack}; continue with `lightfer queue {options.pack}`")
    typer.echo(f"not finished: {', '.join(left)}" if left else "everything is trained")
