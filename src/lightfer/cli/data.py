"""lightfer data: fetch FER2013, and show what is wrong with a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lightfer.data.audit import Audit, SplitAudit

app = typer.Typer(
    help="Fetch FER2013, or audit a data set.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def fetch(
    handle: Annotated[
        str | None, typer.Option(help="Kaggle dataset OWNER/NAME instead of the usual one.")
    ] = None,
) -> None:
    """Download FER2013 from Kaggle into the cache, where the other commands find it."""
    from lightfer.data.fetch import HANDLE
    from lightfer.data.fetch import fetch as fetch_data

    dataset = fetch_data(handle or HANDLE)
    typer.echo(f"{dataset.source}: {dataset.description}")


@app.command()
def audit(
    data: Annotated[
        str | None, typer.Option(help="File, folder or zip; default LIGHTFER_DATA or the cache.")
    ] = None,
    ferplus: Annotated[
        Path | None, typer.Option(help="fer2013new.csv; default: the one beside the data.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Count classes, exact copies, contradictory labels and blank images; compare with FER+."""
    from lightfer.cli.console import find_source, load_data, print_json
    from lightfer.data.audit import audit as audit_data
    from lightfer.data.ferplus import read_votes, votes_beside

    source = find_source(data)
    dataset = load_data(source, needed=())
    result = audit_data(dataset, read_votes(ferplus) if ferplus else votes_beside(dataset))
    if as_json:
        print_json(result)
    else:
        _print(result, source)


def _print(result: "Audit", source: str) -> None:
    """One column per split, one line per count; what is unknown is a dash."""
    from rich.table import Table

    from lightfer.cli.console import print_table, stdout

    splits = list(result.splits.values())
    table = Table(title=f"{source}: {result.label}", title_justify="left")
    table.add_column("")
    for name in result.splits:
        table.add_column(name, justify="right")
    for title, cells in _lines(splits):
        table.add_row(title, *map(_text, cells))
    console = stdout()
    print_table(console, table)
    console.print(
        f"{result.images:,} images, {result.distinct:,} distinct; {result.conflicting_groups:,} "
        f"groups of equal images ({result.conflicting_images:,} images) with more than one label; "
        f"{result.blank:,} blank.\nsha256 {result.sha256}"
    )
    if result.mapping:
        pairs = ", ".join(f"{said} {of}" for said, of in result.mapping.items())
        console.print(f"labels of the files: {pairs}")


def _lines(splits: "list[SplitAudit]") -> list[tuple[str, list[Any]]]:
    lines: list[tuple[str, list[Any]]] = [("images", [split.images for split in splits])]
    for name in splits[0].class_counts:
        lines.append((f"  {name}", [split.class_counts[name] for split in splits]))
    lines += [
        ("repeated within the split", [split.repeated for split in splits]),
        ("equal to a train image", [split.equal_to_train for split in splits]),
        ("equal to a validation image", [split.equal_to_validation for split in splits]),
        ("equal to a test image", [split.equal_to_test for split in splits]),
        ("blank", [split.blank for split in splits]),
    ]
    votes = [split.ferplus for split in splits]
    if any(votes):
        lines += [
            ("FER+: named images", [v and v.named_images for v in votes]),
            ("FER+: label is the top vote", [v and v.top_vote_agreement for v in votes]),
            ("FER+: images with a majority", [v and v.majority_images for v in votes]),
            ("FER+: label is the majority", [v and v.majority_agreement for v in votes]),
        ]
    return lines


def _text(value: int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"
