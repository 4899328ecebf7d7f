"""lightfer predict: expressions of faces in images, videos or a camera, as JSON lines."""

import typer

SETTINGS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],  # so that --help, too, is answered by the table of options
}


def predict(context: typer.Context) -> None:
    """Expressions of faces in images, folders, videos or a camera, as JSON lines."""
    from lightfer.inference.predict.command import main

    raise typer.Exit(main(context.args))
