"""The command `lightfer`: its commands by name."""

from pathlib import Path
from typing import Annotated

import typer

import lightfer
from lightfer.cli import (
    bench,
    choose,
    compare,
    data,
    evaluate,
    export,
    merge,
    models,
    predict,
    queue,
    rank,
    report,
    table,
    teach,
    train,
    validate,
    web,
)

app = typer.Typer(
    name="lightfer",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # names in brackets, as those of extras, are printed as they are
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lightfer {lightfer.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Benchmark lightweight CNNs for facial emotion recognition on your own machine."""
    if context.invoked_subcommand is None:
        typer.echo("\n".join(what_next()))


def what_next() -> list[str]:
    """The commands to go on with, which depend on whether something was measured here."""
    results = Path("out/results.json")
    steps = {
        "lightfer bench --quick": "a first look at this machine",
        "lightfer bench": "measure every shipped net on this machine",
        "lightfer choose": "which net to take, by the published figures",
    }
    if results.exists():
        steps = {
            f"lightfer choose {results}": "which net to take, by what was measured here",
            f"lightfer report {results}": "all of it, on a page that works offline",
        }
    steps |= {
        "lightfer predict portrait.jpg": "the faces of a picture, and what they show",
        "lightfer --help": "all commands",
    }
    wide = max(map(len, steps))
    about = f"lightfer {lightfer.__version__}: small neural networks that read facial expressions"
    return [f"{about}. Next:", "", *(f"  {step:<{wide}}  {text}" for step, text in steps.items())]


app.command("bench")(bench.bench)
app.command("models")(models.models)
app.command("train")(train.train)
app.command("teach")(teach.teach)
app.command("queue")(queue.queue)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("predict", context_settings=predict.SETTINGS)(predict.predict)
app.command("table")(table.table)
app.command("choose")(choose.choose)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("rank")(rank.rank)
app.command("merge")(merge.merge)
app.command("validate")(validate.validate)
app.command("web")(web.web)
app.add_typer(data.app, name="data")
