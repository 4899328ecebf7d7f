"""What training without the copies does, or another seed: weight files of one net side by side.

    lightfer train squeezenet1_1_bn --data DATA --recipe second_light --threads 1
    lightfer train squeezenet1_1_bn --data DATA --recipe second_light --threads 1 --without-copies
    python benchmarks/retrained.py runs/*/squeezenet1_1_bn.safetensors --data DATA

Scores each file on test, as `lightfer evaluate` does, with a line in the log for each, and writes
`docs/data/retrained.json`, which the page on accuracy shows. Nothing is chosen by these figures.
"""

import argparse
from pathlib import Path
from typing import Any

import msgspec

from lightfer._files import sha256_of, write_text
from lightfer.data import Dataset, load
from lightfer.measure.accuracy import score_test
from lightfer.measure.process import tune_process
from lightfer.models.registry import create_model
from lightfer.models.weights import load_checkpoint
from lightfer.results import Accuracy

ROOT = Path(__file__).parents[1]
RECORDS, LOG = ROOT / "docs" / "data" / "retrained.json", ROOT / "test_scorings.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="+", type=Path)
    parser.add_argument("--data", required=True)
    args = parser.parse_args()
    tune_process()
    data = load(args.data)
    records = [_score(path, data) for path in args.weights]
    write_text(RECORDS, msgspec.json.format(msgspec.json.encode(records), indent=1).decode() + "\n")


def _score(path: Path, data: Dataset) -> dict[str, Any]:
    _, card = load_checkpoint(path)
    sha256 = sha256_of(path)
    accuracy, others = score_test(
        create_model(card.model, path), data, model_name=card.model, weights_sha256=sha256, log=LOG
    )
    fresh = next(a for a in others if a.split == "test without copies" and a.view == "single")
    return {
        "model": card.model,
        "recipe": card.recipe,
        "seed": card.seed,
        "code": card.code,
        "weights": sha256,
        "epoch": card.epoch,
        "cpu_s": card.training and card.training.cpu_s,
        "validation_top1": card.validation and card.validation.top1,
        "test": _counts(accuracy),
        "test without copies": _counts(fresh),
    }


def _counts(accuracy: Accuracy) -> dict[str, int]:
    return {"images": accuracy.images, "right": round(accuracy.top1 * accuracy.images)}


if __name__ == "__main__":
    main()
