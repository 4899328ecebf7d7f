"""The same student with teachers and without, from the same seeds and for as many epochs.

    python benchmarks/distillation.py --data DATA --choose 2:0.7 4:0.9   # temperature:weight
    python benchmarks/distillation.py --data DATA                        # teachers asked once
    python benchmarks/distillation.py --data DATA --live                 # ... about every view
    python benchmarks/distillation.py --into docs/distillation.md        # tables of the figures

The teachers have shipped weights, trained on the train split alone. What is compared is the
validation accuracy of the best epoch of each run; processor time is that of one thread. Temperature
and weight are chosen with a seed of their own and fewer epochs. The test split is not read. Figures
go to docs/distillation.json, each kind of run under its own name; the same command continues a run
that was interrupted.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

import torch

from lightfer._files import write_text
from lightfer.cli.table import replace_block
from lightfer.data import Dataset, load
from lightfer.measure.process import tune_process
from lightfer.models.registry import architecture
from lightfer.train.distill import (
    Distillation,
    Targets,
    load_teacher,
    load_teachers,
    student_options,
)
from lightfer.train.job import train_to_file
from lightfer.train.recipes import find_recipe
from lightfer.train.soft_labels import write_soft_labels

FIGURES = Path(__file__).parents[1] / "docs" / "distillation.json"


CHOICE_SEED, CHOICE_EPOCHS = 100, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--student", default="shufflenet_v2_x0_5")
    parser.add_argument("--teachers", nargs="+", default=["mobilenet_v1", "shiftnet_b"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--choose", nargs="+", metavar="T:W")
    parser.add_argument("--runs", type=Path, default=Path("runs/distillation"))
    parser.add_argument("--into", type=Path, help="only write the tables of the figures here")
    args = parser.parse_args()
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if args.into:
        text = args.into.read_text(encoding="utf-8")
        write_text(args.into, replace_block(text, tables(known)))
        return
    known |= measure(args)
    print(tables(known))
    write_text(FIGURES, json.dumps(known, indent=1) + "\n")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Ask the teachers, train every student; one entry of the figures."""
    tune_process(1)
    data = load(args.data, ("train", "validation"))
    begun, file = process_time(), args.runs / "soft.safetensors"
    asked_before = args.live or file.exists()
    targets: Targets
    if args.live:
        targets = load_teachers(args.teachers, data["train"], "cpu")
    else:
        teachers = [load_teacher(name, data["train"]) for name in args.teachers]
        targets = write_soft_labels(file, teachers, data["train"])
    asking_cpu_s = process_time() - begun
    if args.choose:
        amounts = [Distillation(*map(float, pair.split(":"))) for pair in args.choose]
        args.epochs = CHOICE_EPOCHS
        return {"choice": [run(args, data, CHOICE_SEED, targets, amount) for amount in amounts]}
    entry = {
        "student": args.student,
        "teachers": args.teachers,
        **asdict(Distillation()),
        "epochs": args.epochs,
        "asking_cpu_s": None if asked_before else asking_cpu_s,
        "runs": [
            run(args, data, seed, targets if taught else None)
            for seed in args.seeds
            for taught in (False, True)
        ],
    }
    return {"live" if args.live else "kept": entry}


def run(
    args: argparse.Namespace,
    data: Dataset,
    seed: int,
    targets: Targets | None,
    amount: Distillation = Distillation(),  # noqa: B008
) -> dict[str, Any]:
    """One student; `targets` None: without teachers."""
    config = find_recipe("first_light").config_for(args.student, seed, epochs=args.epochs)
    student, kind = {}, "alone"
    if targets:
        student = student_options(targets, amount, data["train"], config, "cpu")
        kind = f"{'live' if args.live else 'kept'}-{amount.temperature:g}-{amount.weight:g}"
    torch.manual_seed(seed)
    _, card = train_to_file(
        args.student,
        architecture(args.student)(),
        data,
        config,
        args.runs / f"{args.student}-{args.epochs}-{kind}-seed{seed}",
        recipe="first_light",
        **student,
    )
    history = card.history or ()
    return {
        "seed": seed,
        "epochs": args.epochs,
        "taught": targets is not None,
        **(asdict(amount) if targets else {}),
        "validation_top1": max(epoch["validation_top1"] for epoch in history),
        "cpu_s": sum(epoch["cpu_s"] for epoch in history),
    }


def gain(entry: dict[str, Any]) -> float:
    """Mean difference of validation accuracy over the seeds, with teachers minus without."""
    top1 = {True: [], False: []}
    for one in entry["runs"]:
        top1[one["taught"]].append(one["validation_top1"])
    return fmean(top1[True]) - fmean(top1[False])


def tables(figures: dict[str, Any]) -> str:
    """Markdown: a table for each way of asking, and that of the choice."""
    titles = {
        "kept": "Asked once, plain and mirrored (`--soft-labels`)",
        "live": "Asked about every augmented view (`--teachers`)",
    }
    parts = [_pairs(title, figures[key]) for key, title in titles.items() if key in figures]
    if choice := figures.get("choice"):
        parts.append(_choice(choice))
    return "\n".join(parts)


def _pairs(title: str, entry: dict[str, Any]) -> str:
    asking = entry["asking_cpu_s"]
    cost = f"; asking took {asking:.0f} CPU s, once" if asking else ""
    lines = [
        f"{title}: {entry['student']}, {entry['epochs']} epochs, taught by "
        f"{' and '.join(entry['teachers'])}, T = {entry['temperature']:g}, "
        f"w = {entry['weight']:g}{cost}.",
        "",
        "| seed | without, % | with teachers, % | gain, points | CPU s without | CPU s with |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for seed in sorted({one["seed"] for one in entry["runs"]}):
        pair = {one["taught"]: one for one in entry["runs"] if one["seed"] == seed}
        before, after = (100 * pair[taught]["validation_top1"] for taught in (False, True))
        cpu_s = [f"{pair[taught]['cpu_s']:.0f}" for taught in (False, True)]
        cells = [str(seed), f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}", *cpu_s]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| mean | | | {100 * gain(entry):+.2f} | | |")
    return "\n".join(lines) + "\n"


def _choice(choice: list[dict[str, Any]]) -> str:
    lines = [
        f"How T and w were chosen: {choice[0]['epochs']} epochs, seed {choice[0]['seed']}, asked "
        "once.",
        "",
        "| T | w | validation, % |",
        "| ---: | ---: | ---: |",
    ]
    for one in choice:
        top1 = 100 * one["validation_top1"]
        lines.append(f"| {one['temperature']:g} | {one['weight']:g} | {top1:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
