"""lightfer train: train one model and write its weights with their card."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lightfer.errors import ArgumentError
from lightfer.train.recipes import NAMES


def train(
    model: Annotated[
        str,
        typer.Argument(help="A name of `lightfer models`, or package.module:function of your own."),
    ],
    data: Annotated[
        str | None, typer.Option(help="FER2013, 'synthetic' or another set, as rafdb:PATH.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/MODEL-RECIPE-seedN.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the recipe's.")] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32 - 1, help="Of the weights, the order and the augmentation."),
    ] = 0,
    size: Annotated[int, typer.Option(help="Side of the images in pixels, as 64, 96 or 112.")] = 48,
    teachers: Annotated[
        str | None,
        typer.Option(help="Models or weight files, with commas: asked about every view."),
    ] = None,
    soft_labels: Annotated[
        Path | None, typer.Option(help="Instead of teachers: a file of `lightfer teach`.")
    ] = None,
    view_cache: Annotated[
        Path | None,
        typer.Option(help="Folder where the answers of --teachers are kept, for other students."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of the teachers; see docs/distillation.md.")
    ] = None,
    teacher_weight: Annotated[
        float | None, typer.Option(help="Of the teachers, 0 to 1; see there.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Part of the train split to leave out, as 0/5: to teach it.")
    ] = None,
    labels: Annotated[
        Literal["fer2013", "ferplus", "ferplus8"],
        typer.Option(
            help="fer2013, or FER+'s votes: ferplus, with contempt ferplus8; fer2013new.csv "
            "has to lie beside the data."
        ),
    ] = "fer2013",
    target: Annotated[
        Literal["distribution", "drawn", "majority", "multi-target"] | None,
        typer.Option(help="What is learned of FER+'s votes; see docs/data.md."),
    ] = None,
    copies: Annotated[
        bool,
        typer.Option(
            "--copies/--without-copies",
            help="Without: leave out train images that occur in validation or test.",
        ),
    ] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; default: all cores.")
    ] = None,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "equal",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train on the train split; the recipe says whether the best epoch on validation is kept.

    The test split is not read, but by --without-copies, which compares its pixels. The folder
    holds the state after every epoch, so the same command continues an interrupted run.
    """
    from lightfer._files import check_writable, file_name
    from lightfer.cli.console import check_beside_data, load_data, progress
    from lightfer.measure.energy import training_meters
    from lightfer.measure.process import tune_process
    from lightfer.models.find import keys_in
    from lightfer.train.job import Job, for_processor, run_job
    from lightfer.train.state import Epoch

    changes = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "target": target,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    job = Job(
        model=model,
        recipe=recipe,
        seed=seed,
        settings=changes,
        fold=fold,
        size=size,
        labels=labels,
        copies=copies,
        teachers=keys_in(teachers) if teachers else (),
        soft_labels=str(soft_labels) if soft_labels else None,
        temperature=temperature,
        weight=teacher_weight,
    )
    config = job.config()
    if view_cache and not teachers:
        raise ArgumentError(
            "--view-cache keeps the answers of --teachers: give them, or leave it out"
        )
    kind = ",".join([recipe, *(f"{name}={value}" for name, value in changes.items())])
    parts = [f"-without{fold.replace('/', 'of')}"] if fold else []
    parts += [] if size == 48 else [f"-size{size}"]
    parts += [] if copies else ["-without-copies"]
    parts += ["-taught"] if job.taught else []
    folder = out or Path("runs") / f"{file_name(job.network)}-{kind}-seed{seed}{''.join(parts)}"
    check_writable(folder, folder=True)
    weights = folder / f"{file_name(job.network)}.safetensors"
    kept = (weights, *(folder / name for name in ("state.safetensors", "history.jsonl")))
    check_beside_data(kept, [*job.teachers, soft_labels], data)
    if view_cache is not None:
        check_writable(view_cache, folder=True)
    tune_process(threads, device)
    if (asked := job) != (job := for_processor(job, folder, device)):
        typer.echo(
            f"this processor does not compute in bfloat16, which {asked.recipe} asks for: training "
            "in float32, which the card will say"
        )
    dataset = load_data(data, needed=job.splits, only_needed=True, size=size)

    with progress() as bar, training_meters(device) as meters:

        def on_batch(epoch: int, done: int, of: int) -> None:
            bar(f"{job.network}: epoch {epoch} of {config.epochs}", done, of)

        def on_epoch(epoch: Epoch) -> None:
            typer.echo(
                f"epoch {epoch.epoch:3d}: train loss {epoch.train_loss:.3f}, validation loss "
                f"{epoch.validation_loss:.3f}, top-1 {100 * epoch.validation_top1:.2f} %, "
                f"{epoch.wall_s:.0f} s"
            )

        path, card = run_job(
            job,
            dataset,
            folder,
            view_cache=view_cache,
            device=device,
            meters=meters,
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
    assert card.validation is not None
    typer.echo(
        f"epoch {card.epoch} of {card.epochs} kept, validation top-1 "
        f"{100 * card.validation.top1:.2f} % of the rounded weights, written to {path}"
    )
    if card.training and card.training.energy_reason:
        typer.echo(
            f"energy of the training ({card.training.energy_method}): "
            f"{card.training.energy_reason}",
            err=True,
        )
