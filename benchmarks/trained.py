"""The tables of trained nets: what a queue made, scored and written down.

    python benchmarks/trained.py runs/equal --data DATA --log test_scorings.jsonl

Every finished weight file of the queue's folder is scored on test once, if its card does not say
yet how it does there, which is a line in the log; one that learned FER+'s votes is scored by their
majority. Then the cards, histories included, are written
to `docs/data/`, one JSON line each, in a file that has the folder's name. Pages and notebooks are
made from that file. Nothing is chosen here.
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
from lightfer.train.sweep.items import read_list
from lightfer.train.sweep.teachers import weights_of

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
        card = msgspec.structs.replace(card, test=accuracy)
        rewrite_card(path, card)
    return card


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, help="folder of a queue")
    parser.add_argument("--data", required=True)
    parser.add_argument("--log", type=Path, required=True, help="where scorings are written down")
    options = parser.parse_args()
    data = load(options.data, None)
    items = read_list(options.runs / "queue.toml")
    files = [file for item in items if (file := weights_of(item, options.runs)).exists()]
    cards = [scored(file, data, options.log) for file in track(files, "scoring")]
    cards.sort(key=lambda card: (card.model, card.seed))
    out = ROOT / "docs" / "data" / f"{options.runs.name}.jsonl"
    write_bytes(out, b"".join(msgspec.json.encode(card) + b"\n" for card in cards))
    print(f"{len(cards)} cards in {out.name}")


if __name__ == "__main__":
    main()
