"""lightfer queue: train a list of models within a time budget, over several days and machines."""

from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from lightfer._files import check_writable, output_file, read_text


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
    begun = monotonic()

    from lightfer.cli.console import check_beside_data, find_source, progress
    from lightfer.train.sweep.items import items_in, weights_of
    from lightfer.train.sweep.pack import unpack
    from lightfer.train.sweep.run import Options, Report, run_queue

    folder = out or Path("runs") / items.stem
    check_writable(folder, folder=True)
    packed = items.suffix == ".zip"
    check_beside_data([pack], [None if packed else items], data)
    if packed and not unpack(items, folder):
        typer.echo(f"{folder} is there: it is continued, {items} is not unpacked again", err=True)
    text = read_text(path := folder / "queue.toml" if packed else items)
    listed = items_in(text, path)
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
    running: dict[str, str] = {}
    ended: list[str] = []
    with progress() as bar:

        def show(report: Report) -> None:
            """A line for what has ended, and a bar with what runs."""
            name = report.item
            if report.kind in ("begun", "epoch"):
                running[name] = f"{name}: {report.epochs} epochs done"
            else:
                running.pop(name, None)
                ended.append(name)
                top1 = f", validation top-1 {100 * report.top1:.2f} %"
                typer.echo(f"{name} {report.kind}{f': {report.error}' if report.error else top1}")
            bar("; ".join(running.values()), len(ended), len(listed))

        session = run_queue(listed, options, text=text, begun=begun, on_report=show)
    budget = "" if session.budget_s is None else f" of {session.budget_s:.0f} s"
    costs = f"epochs cut off {session.lost_s:.1f} s"
    costs += "" if session.pack_s is None else f", pack {session.pack_s:.1f} s"
    typer.echo(f"{session.wall_s:.1f} s{budget}: {session.epochs} epochs; {costs}")
    if pack:
        typer.echo(f"packed in {pack}; continue with `lightfer queue {pack}`")
    left = [item.name for item in listed if not weights_of(item, folder).exists()]
    typer.echo(f"not finished: {', '.join(left)}" if left else "everything is trained")
    if session.failed:
        raise typer.Exit(1)
