"""lightfer models: the zoo with its sizes, papers and deviations."""

from typing import Annotated, Any

import typer

from lightfer.errors import ArgumentError

COLUMNS = {
    "name": "Model",
    "width": "Width",
    "output_stride": "Stride",
    "params": "Params",
    "macs": "MACs",
    "params_imagenet": "Params@224",
    "macs_imagenet": "MACs@224",
    "weight_bytes": "Bytes",
    "pretrained": "Shipped",
}


def models(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; default: all.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """List the models: size, multiply-adds, papers, and where they differ from them.

    Counts are at 48x48, 1 channel, 7 classes, and (@224) at 224x224, 3 channels, 1000 classes;
    bytes are of all tensors as float32. `--json` has the exact numbers.
    """
    from lightfer.cli.console import print_json, progress
    from lightfer.models.registry import architecture, describe_model, list_models

    chosen = names or list_models(family)
    if not chosen:
        known = dict.fromkeys(architecture(name).family for name in list_models())
        raise ArgumentError(f"there is no family {family!r}; there are {', '.join(known)}")
    rows = []
    with progress() as bar:
        for i, name in enumerate(chosen):
            bar(name, i, len(chosen))
            rows.append(describe_model(name))
    if as_json:
        print_json(rows)
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.table import Column, Table

    from lightfer.cli.console import print_table, stdout

    console = stdout()
    name, *rest = COLUMNS.values()
    table = Table(Column(name, no_wrap=True), *(Column(t, justify="right") for t in rest))
    for row in rows:
        table.add_row(*(_cell(row[key]) for key in COLUMNS))
    print_table(console, table)
    for family in dict.fromkeys(row["family"] for row in rows):
        members = [row for row in rows if row["family"] == family]
        papers = dict.fromkeys(row["paper"] or "no paper" for row in members)
        console.print(f"{family}: {', '.join(papers)}")
        for text in dict.fromkeys(text for row in members for text in row["deviations"]):
            holds = sum(text in row["deviations"] for row in members)
            note = "" if holds == len(members) else f" ({holds} of {len(members)} models)"
            console.print(f"  - {text}{note}")


def _cell(value: object) -> str:
    """Three digits, with k, M or G; the exact numbers are in the JSON."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if not isinstance(value, int) or value < 1000:
        return str(value)
    power = min((len(str(value)) - 1) // 3, 3)
    return f"{value / 1000**power:.3g} {' kMG'[power]}"
