"""What each choice of the recipe is worth: each changed alone, at equal processor time, two seeds.

    python benchmarks/ablations.py --data DATA --budget-s 240

Trains one small net again and again, each time with one thread, as many at once as there are
cores; scores validation only, and adds a row to `docs/data/ablations.json` after every run, so that
an interrupted series goes on where it stopped.
`docs/ablations.md` is written from that file. A choice that makes steps cheaper gets more epochs:
their number is the budget over the processor time of an epoch, taken from 24 steps of that choice.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import torch

from lightfer.data import Dataset, load
from lightfer.data.augment import Augmentation
from lightfer.files import write_text
from lightfer.process import tune_process
from lightfer.train import TrainConfig, train
from lightfer.zoo import create_model

ROOT = Path(__file__).parents[1]
RECORDS, PAGE = ROOT / "docs" / "data" / "ablations.json", ROOT / "docs" / "ablations.md"
MODEL = "shufflenet_v2_x0_5"
SEEDS = (0, 1)
CHOICES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "learning rate halved": {"learning_rate": 2e-3},
    "learning rate doubled": {"learning_rate": 8e-3},
    "no averaged weights": {"ema_decay": 0.0},
    "no label smoothing": {"label_smoothing": 0.0},
    "bfloat16": {"precision": "bfloat16"},
    "flips only": {"augmentation": Augmentation(True, 0, 0, 0, 0, 0, 0)},
    "batch of 32": {"batch_size": 32},
    "batch of 128": {"batch_size": 128},
    "linear schedule": {"schedule": "linear"},
    "mixup 0.2": {"mixup": 0.2},
    "no clipping": {"clip_norm": 0.0},
    "SGD": {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4},
}
_WARM, _TIMED = 4, 24  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="FER2013; without it, only the page is written")
    parser.add_argument("--budget-s", type=float, default=240, help="processor time of each run")
    args = parser.parse_args()
    record = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    if args.data:
        record = record or {"model": MODEL, "budget_s": args.budget_s, "runs": []}
        _run_all(args.data, record)
    write_text(PAGE, page(record))


def _run_all(data: str, record: dict[str, Any]) -> None:
    done = {(run["choice"], run["seed"]) for run in record["runs"]}
    left = [(choice, seed) for choice in CHOICES for seed in SEEDS if (choice, seed) not in done]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        runs = [pool.submit(_run, data, *case, record["budget_s"]) for case in left]
        for run in as_completed(runs):
            record["runs"].append(run.result())
            write_text(RECORDS, json.dumps(record, indent=1) + "\n")
            print(record["runs"][-1], flush=True)


def _run(source: str, choice: str, seed: int, budget_s: float) -> dict[str, Any]:
    tune_process(1)
    data = load(source, ("train", "validation"))
    config = replace(TrainConfig(seed=seed, keep="final"), **CHOICES[choice])
    steps = -(-len(data["train"]) // config.batch_size)
    epochs = max(2, round(budget_s / (_step_s(data, config) * steps)))
    with tempfile.TemporaryDirectory() as folder:
        history = _train(data, replace(config, epochs=epochs), folder).history
    return {
        "choice": choice,
        "seed": seed,
        "epochs": epochs,
        "cpu_s": sum(epoch.cpu_s for epoch in history),
        "validation_top1": history[-1].validation_top1,
        "validation_loss": history[-1].validation_loss,
    }


def _train(data: Dataset, config: TrainConfig, folder: str, on_batch=None):
    torch.manual_seed(config.seed)
    model = create_model(MODEL)
    train_split, validation = data["train"], data["validation"]
    return train(model, train_split, validation, config, Path(folder), on_batch=on_batch)


class _EnoughError(Exception):
    """The steps that are timed are done."""


def _step_s(data: Dataset, config: TrainConfig) -> float:
    """Processor time of a step."""
    marks: list[float] = []

    def on_batch(epoch: int, done: int, of: int) -> None:
        marks.append(process_time())
        if done == _WARM + _TIMED:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder, suppress(_EnoughError):
        _train(data, replace(config, epochs=2), folder, on_batch)
    return (marks[-1] - marks[_WARM - 1]) / _TIMED


def page(record: Mapping[str, Any]) -> str:
    """The table, from the record alone."""
    runs = record["runs"]
    seeds = {run["seed"] for run in runs}
    top1 = {(run["choice"], run["seed"]): 100 * run["validation_top1"] for run in runs}
    lines = [
        "# Ablations",
        "",
        "Written by `python benchmarks/ablations.py` from `data/ablations.json`; do not edit.",
        "",
        f"Each choice changed alone in the recipe `first_light`, {record['model']}, about "
        f"{record['budget_s']:.0f} s of processor time (one thread) per run, so a cheaper step "
        "buys more epochs. Top-1 on validation, last epoch, averaged weights; the difference is "
        "to the recipe with the same seed. With two seeds and runs this short, differences below "
        "a point say nothing, and what suits a short run need not suit a long one.",
        "",
        "| choice | epochs | CPU s | "
        + " | ".join(f"seed {seed} %" for seed in sorted(seeds))
        + " | difference |",
        "| --- | ---: | ---: |" + " ---: |" * (len(seeds) + 1),
    ]
    for choice in CHOICES:
        mine = [run for run in runs if run["choice"] == choice]
        if mine:
            lines.append(_row(choice, mine, sorted(seeds), top1))
    return "\n".join(lines) + "\n"


def _row(choice: str, mine: list[dict[str, Any]], seeds: list[int], top1: Mapping) -> str:
    cells = [f"{top1[choice, s]:.2f}" if (choice, s) in top1 else "" for s in seeds]
    base = next(iter(CHOICES))
    pairs = [s for s in seeds if (choice, s) in top1 and (base, s) in top1]
    difference = mean(top1[choice, s] - top1[base, s] for s in pairs) if pairs else None
    shown = "" if difference is None or choice == base else f"{difference:+.2f}"
    epochs = "/".join(str(n) for n in sorted({run["epochs"] for run in mine}))
    seconds = mean(run["cpu_s"] for run in mine)
    return f"| {choice} | {epochs} | {seconds:.0f} | {' | '.join(cells)} | {shown} |"


if __name__ == "__main__":
    main()
