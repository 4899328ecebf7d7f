"""The tables of trained nets: what a queue made, scored and written down.

    python benchmarks/trained.py equal runs/equal --data DATA --log test_scorings.jsonl

Every finished weight file of a queue's folder is scored on test once, if its card does not say
yet how it does there, which is a line in the log; one that learned FER+'s votes is scored by their
majority. Then the cards, histories included, are written to the table in `docs/data/`, one JSON
line each, beside the nets, recipes and seeds that it has already: one table may come from several
folders. Pages and notebooks are made from that file. Nothing is chosen here.
"""

import argparse
from pathlib import Path

import msgspec
from rich.progress import track

from lightfer._files import write_bytes
from lightfer.data import Dataset, load
from lightfer.measure.accuracy import score_test
from lightfer.models.find import find_weights
from lightfer.models.weights import Card, load_checkpoint, rewrite_card
from lightfer.train.sweep.items import read_list, weights_of

ROOT = Path(__file__).parents[1]


def scored(path: Path, data: Dataset, log: Path) -> Card:
    """The card of a weight file, with its accuracy on test."""
    _, card = load_checkpoint(path)
    if card.test is None:
        weights = find_weights(path)
        accuracy, _ = score_test(
            weights.build("cpu"),
            data,
            model_name=weights.name,
            weights_sha256=weights.sha256,
            log=log,
            labels=card.labels,
            views=(),
        )
        return rewrite_card(path, test=accuracy)
    return card


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", help="its name in docs/data, such as equal")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of queues")
    parser.add_argument("--data", required=True)
    parser.add_argument("--log", type=Path, required=True, help="where scorings are written down")
    options = parser.parse_args()
    data = load(options.data, None)
    files = [
        file
        for runs in options.runs
        for item in read_list(runs / "queue.toml")
        if (file := weights_of(item, runs)).exists()
    ]
    cards = [scored(file, data, options.log) for file in track(files, "scoring")]
    out = ROOT / "docs" / "data" / f"{options.table}.jsonl"
    print(f"{len(add_cards(out, cards))} cards in {out.name}")


def add_cards(table: Path, cards: list[Card]) -> list[Card]:
    """All cards of a table, in order, once `cards` are in it; the same net, recipe and seed is
    replaced, the line of another stays as it is.
    """
    lines = table.read_bytes().splitlines() if table.exists() else []
    lines += [msgspec.json.encode(card) for card in cards]
    known = [msgspec.json.decode(line, type=Card) for line in lines]
    rows = {(card.model, card.recipe, card.seed): i for i, card in enumerate(known)}
    order = [rows[key] for key in sorted(rows)]
    write_bytes(table, b"".join(lines[i] + b"\n" for i in order))
    return [known[i] for i in order]


if __name__ == "__main__":
    main()
