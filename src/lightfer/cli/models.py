"""lightfer models: the zoo with its sizes."""

import json
from typing import Annotated

import typer


def models(
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """List every model: parameters and multiply-adds at 48x48x1/7 and at 224x224x3/1000."""
    from lightfer.cli.console import progress
    from lightfer.zoo import describe_model, list_models

    names = list_models(family)
    rows = []
    with progress() as bar:
        for i, name in enumerate(names):
            bar(name, i, len(names))
            rows.append(describe_model(name))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(caption="MACs: multiply-adds of convolutions and linear layers, one image")
    columns = {
        "name": "Model",
        "family": "Family",
        "output_stride": "Stride",
        "params": "Params",
        "macs": "MACs 48x48x1/7",
        "params_imagenet": "Params ImageNet",
        "macs_imagenet": "MACs 224x224x3/1000",
        "pretrained": "Weights",
    }
    for i, title in enumerate(columns.values()):
        table.add_column(title, justify="right" if 2 <= i <= 6 else "left")
    for row in rows:
        cells = [row[key] for key in columns]
        table.add_row(*(f"{c:,}" if type(c) is int else _text(c) for c in cells))
    Console().print(table)


def _text(value: object) -> str:
    return {True: "yes", False: "", None: ""}.get(value, str(value))  # type: ignore[arg-type]
