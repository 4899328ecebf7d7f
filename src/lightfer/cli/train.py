"""lightfer train: train one model and write its weights with their card."""

from pathlib import Path
from typing import Annotated

import typer

from lightfer.train.recipes import NAMES


def train(
    model: Annotated[
        str,
        typer.Argument(help="A name of `lightfer models`, or package.module:function of your own."),
    ],
    data: Annotated[str | None, typer.Option(help="FER2013, or 'synthetic'.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default: runs/MODEL-RECIPE-seedN.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, the order and the augmentation.")] = 0,
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
    copies: Annotated[
        bool,
        typer.Option(
            "--copies/--without-copies",
            help="Without: leave out train images that occur in validation or test.",
        ),
    ] = True,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")] = "first_light",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train on the train split and keep the best epoch on validation.

    The test split is not read, but by --without-copies, which compares its pixels. The folder
    holds the state after every epoch, so the same command continues an interrupted run.
    """
    import torch

    from lightfer._files import check_writable, file_name
    from lightfer.cli.console import load_data, progress
    from lightfer.data.folds import Fold
    from lightfer.data.subsets import trained_without_copies
    from lightfer.measure.energy import open_meters
    from lightfer.measure.process import tune_process
    from lightfer.models.registry import architecture
    from lightfer.train.distill import Teachers, distillation, load_teachers, student_options
    from lightfer.train.job import train_to_file
    from lightfer.train.recipes import find_recipe
    from lightfer.train.soft_labels import read_soft_labels
    from lightfer.train.state import Epoch
    from lightfer.train.views import KeptAnswers

    arch = architecture(model)
    changes = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    changes = {name: value for name, value in changes.items() if value is not None}
    if epochs == 1:  # no room for a whole epoch of warm-up
        changes["warmup_epochs"] = 0.5
    config = find_recipe(recipe).config_for(model, seed, **changes)
    recipe = ",".join([recipe, *(f"{name}={value}" for name, value in changes.items())])
    if teachers and soft_labels:
        raise ValueError("give --teachers or --soft-labels, not both")
    if view_cache and not teachers:
        raise ValueError("--view-cache keeps the answers of --teachers: give them, or leave it out")
    if not (teachers or soft_labels) and not (temperature is None and teacher_weight is None):
        raise ValueError(
            "--temperature and --teacher-weight are of teachers, and there are none: give "
            "--teachers or --soft-labels, or leave them out"
        )
    taught = "-taught" if teachers or soft_labels else ""
    without = f"-without{fold.replace('/', 'of')}" if fold else ""
    new = "" if copies else "-without-copies"
    folder = out or Path("runs") / f"{file_name(model)}-{recipe}-seed{seed}{without}{new}{taught}"
    check_writable(folder, folder=True)
    check_writable(folder / f"{file_name(model)}.safetensors")
    if view_cache is not None:
        check_writable(view_cache, folder=True)
    tune_process(threads, device)
    needed = ("train", "validation") if copies else ("train", "validation", "test")
    dataset = load_data(data, needed=needed, only_needed=True)
    if not copies:
        dataset, recipe = trained_without_copies(dataset), f"{recipe},without-copies"
    student = {}
    if teachers or soft_labels:
        if fold:
            raise ValueError("a network of a fold cannot be a student: its teachers saw the fold")
        split = dataset["train"]
        targets = (
            read_soft_labels(soft_labels, split, device)
            if soft_labels
            else load_teachers((teachers or "").split(","), split, device, config.precision)
        )
        if view_cache and isinstance(targets, Teachers):
            targets = KeptAnswers(targets, view_cache, split, config)
        amount = distillation(temperature, teacher_weight)
        student = student_options(targets, amount, split, config, device)
    torch.manual_seed(seed)

    with progress() as bar:

        def on_batch(epoch: int, done: int, of: int) -> None:
            bar(f"{model}: epoch {epoch} of {config.epochs}", done, of)

        def on_epoch(epoch: Epoch) -> None:
            typer.echo(
                f"epoch {epoch.epoch:3d}: train loss {epoch.train_loss:.3f}, validation loss "
                f"{epoch.validation_loss:.3f}, top-1 {100 * epoch.validation_top1:.2f} %, "
                f"{epoch.wall_s:.0f} s"
            )

        path, card = train_to_file(
            model,
            arch(),
            dataset,
            config,
            folder,
            recipe=recipe,
            fold=Fold.parse(fold) if fold else None,
            device=device,
            meters=open_meters(device)[0],
            on_batch=on_batch,
            on_epoch=on_epoch,
            **student,
        )
    assert card.validation is not None
    typer.echo(
        f"epoch {card.epoch} of {card.epochs} kept, validation top-1 "
        f"{100 * card.validation.top1:.2f} % of the rounded weights, written to {path}"
    )
