"""lightfer teach: ask teachers about every train image once, for `lightfer train --soft-labels`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lightfer._files import output_file


def teach(
    teachers: Annotated[
        list[str], typer.Argument(help="Models with shipped weights, or weight files.")
    ],
    data: Annotated[str | None, typer.Option(help="FER2013, or 'synthetic'.")] = None,
    out: Annotated[Path, typer.Option(parser=output_file, help="File to write.")] = Path(
        "runs/soft.safetensors"
    ),
    size: Annotated[int, typer.Option(help="As of the students: side of the images.")] = 48,
    labels: Annotated[
        Literal["fer2013", "ferplus", "ferplus8"], typer.Option(help="As of the students.")
    ] = "fer2013",
    target: Annotated[
        Literal["distribution", "drawn", "majority", "multi-target"],
        typer.Option(help="As of the students."),
    ] = "distribution",
    copies: Annotated[
        bool, typer.Option("--copies/--without-copies", help="As of the students.")
    ] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: all cores.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Write what the teachers say of every train image and its mirror image.

    A teacher that was trained without a fold (`lightfer train --fold`) is asked about that fold
    only. The file is written after each teacher, so the same command continues. Teachers and
    students have to learn from the same images: of the same size, labels and copies.
    """
    from lightfer._files import is_stream
    from lightfer.cli.console import check_beside_data, load_data, progress
    from lightfer.data.dataset import SPLITS
    from lightfer.measure.process import tune_process
    from lightfer.train.distill import load_teacher
    from lightfer.train.job import check_target, learned_from
    from lightfer.train.soft_labels import write_soft_labels

    check_target(labels, target)
    check_beside_data([out], teachers, data)
    tune_process(threads, device)
    needed = ("train",) if copies else SPLITS
    dataset = load_data(data, needed=needed, only_needed=True, size=size)
    split = learned_from(dataset, labels, target, copies)["train"]
    loaded = [load_teacher(teacher, split, device) for teacher in teachers]
    with progress() as bar:
        write_soft_labels(out, loaded, split, bar)
    typer.echo(
        f"soft labels of {len(loaded)} teachers for {len(split):,} images written to {out}",
        err=is_stream(out),
    )
