"""The command `lightfer`: its commands by name, and errors of the user's making."""

import sys
from typing import Annotated

import typer

import lightfer
from lightfer._files import end_on_sigterm
from lightfer.cli import (
    bench,
    compare,
    data,
    evaluate,
    export,
    models,
    predict,
    queue,
    rank,
    report,
    table,
    teach,
    train,
    validate,
)

app = typer.Typer(
    name="lightfer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lightfer {lightfer.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Benchmark lightweight CNNs for facial emotion recognition on your own machine."""


app.command("bench")(bench.bench)
app.command("models")(models.models)
app.command("train")(train.train)
app.command("teach")(teach.teach)
app.command("queue")(queue.queue)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("predict", context_settings=predict.SETTINGS)(predict.predict)
app.command("table")(table.table)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("rank")(rank.rank)
app.command("validate")(validate.validate)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line; errors of the user's making are one line, without a traceback.

    So are those of the system: no space, no permission, a file that went away.
    """
    end_on_sigterm()
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        known = isinstance(error, ValueError | OSError)
        if type(error).__module__.split(".")[0] != "lightfer" and not known:
            raise
        print(f"lightfer: {error}", file=sys.stderr)
        sys.exit(2)
