"""The same student with teachers and without, from the same seeds and for as many epochs.

    python benchmarks/distillation.py --data DATA --out docs/distillation.json
    python benchmarks/distillation.py --into docs/distillation.md

The teachers have shipped weights, trained on the train split alone. They are asked once about every
train image and its mirror image (`--live`: about every augmented view instead). What is compared is
the validation accuracy of the best epoch, by the student's own choice of epochs; processor time is
that of one thread, teachers included. The test split is not read. A run that was interrupted is
continued by the same command.
"""

import argparse
import json
from pathlib import Path
from time import process_time
from typing import Any

import torch

from lightfer.cli.table import replace_block
from lightfer.data import Dataset, load
from lightfer.distill import Distillation, Targets, load_teacher, load_teachers, student_options
from lightfer.files import write_text
from lightfer.process import tune_process
from lightfer.recipes import find_recipe
from lightfer.soft_labels import write_soft_labels
from lightfer.train import train_to_file
from lightfer.zoo import architecture

FIGURES = Path(__file__).parents[1] / "docs" / "distillation.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--student", default="shufflenet_v2_x0_5")
    parser.add_argument("--teachers", nargs="+", default=["mobilenet_v1", "shiftnet_b"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/distillation"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--into", type=Path, help="only write the table of FIGURES here")
    args = parser.parse_args()
    if args.into:
        text = args.into.read_text(encoding="utf-8")
        write_text(args.into, replace_block(text, table(json.loads(FIGURES.read_text()))))
        return
    found = compare(args)
    print(table(found))
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Ask the teachers, train every student."""
    tune_process(1)
    data = load(args.data, ("train", "validation"))
    begun = process_time()
    targets: Targets
    if args.live:
        targets = load_teachers(args.teachers, data["train"], "cpu")
    else:
        teachers = [load_teacher(name, data["train"]) for name in args.teachers]
        targets = write_soft_labels(args.runs / "soft.safetensors", teachers, data["train"])
    asking_cpu_s = process_time() - begun
    amount = Distillation()
    return {
        "student": args.student,
        "teachers": args.teachers,
        "view": targets.describe()["view"],
        "temperature": amount.temperature,
        "weight": amount.weight,
        "epochs": args.epochs,
        "asking_cpu_s": asking_cpu_s,
        "runs": [
            run(args, data, seed, targets if taught else None)
            for seed in args.seeds
            for taught in (False, True)
        ],
    }


def run(
    args: argparse.Namespace, data: Dataset, seed: int, targets: Targets | None
) -> dict[str, Any]:
    """One student; `targets` None: without teachers."""
    config = find_recipe("first_light").config_for(args.student, seed, epochs=args.epochs)
    student = {}
    if targets:
        student = student_options(targets, Distillation(), data["train"], config, "cpu")
    torch.manual_seed(seed)
    kind = ("live" if args.live else "kept") if targets else "alone"
    _, card = train_to_file(
        args.student,
        architecture(args.student)(),
        data,
        config,
        args.runs / f"{args.student}-{kind}-seed{seed}",
        recipe="first_light",
        **student,
    )
    history = card.history or ()
    return {
        "seed": seed,
        "taught": targets is not None,
        "validation_top1": max(epoch["validation_top1"] for epoch in history),
        "cpu_s": sum(epoch["cpu_s"] for epoch in history),
    }


def gain(found: dict[str, Any]) -> float:
    """Mean difference of validation accuracy over the seeds, with teachers minus without."""
    sums = {True: 0.0, False: 0.0}
    for one in found["runs"]:
        sums[one["taught"]] += one["validation_top1"]
    return (sums[True] - sums[False]) / (len(found["runs"]) / 2)


def table(found: dict[str, Any]) -> str:
    """Markdown, a line per seed."""
    lines = [
        "| seed | without, % | with teachers, % | gain, points | CPU s without | CPU s with |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for seed in sorted({one["seed"] for one in found["runs"]}):
        pair = {one["taught"]: one for one in found["runs"] if one["seed"] == seed}
        top1 = [100 * pair[taught]["validation_top1"] for taught in (False, True)]
        cpu_s = [pair[taught]["cpu_s"] for taught in (False, True)]
        cells = [f"{top1[0]:.2f}", f"{top1[1]:.2f}", f"{top1[1] - top1[0]:+.2f}"]
        lines.append(f"| {seed} | " + " | ".join([*cells, *(f"{s:.0f}" for s in cpu_s)]) + " |")
    lines.append(f"| mean | | | {100 * gain(found):+.2f} | | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
