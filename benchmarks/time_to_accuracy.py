"""Minutes from the start of a process to an accuracy on validation, beside a plain loop's.

    python -m benchmarks.time_to_accuracy --data DATA --runs runs/time --out out/time.json

ours:   `lightfer.train` by the recipe `teacher`, all threads.
plain:  the loop of `train_throughput`, with AdamW at 1e-3 falling to zero in a cosine over as many
        epochs; the train split as a folder of PNG files, whose writing is not counted.

Both train the same network from random weights on the train split and are scored on validation
after every epoch; the goal is reached with the first epoch at or above it. Test is never scored.
The time is what passed in the process: imports, reading, training and scoring. A side goes on from
its last epoch when the command is given again, with the minutes it has; `--hours` ends one that
takes longer, which then needs more than its minutes. Nothing else should run meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from benchmarks.train_throughput import plain_loader
from PIL import Image

from lightfer._files import atomic_path, write_text
from lightfer.data import Dataset, Split, load
from lightfer.measure.environment import describe_environment
from lightfer.measure.process import tune_process
from lightfer.models.registry import create_model
from lightfer.train.loop import train
from lightfer.train.recipes import teacher
from lightfer.train.state import Epoch

GOALS = (0.65, 0.68, 0.70)
AIMS = (8, 20, 60)  # minutes
BATCH = 64  # of the plain loop


class Clock:
    """The minutes and accuracies of one side, in a file that is replaced after every epoch."""

    def __init__(self, path: Path, started: float, limit_s: float) -> None:
        self.path, self.limit_s = path, limit_s
        self.epochs: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
        self._last = time.time() if self.epochs else started  # the first process's start counts

    def tick(self, top1: float) -> None:
        """One more epoch."""
        now, before = time.time(), self.epochs[-1]["s"] if self.epochs else 0.0
        self.epochs.append({"s": before + now - self._last, "top1": top1})
        self._last = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.epochs, indent=1) + "\n")
        print(
            f"{len(self.epochs)}  {self.epochs[-1]['s'] / 60:.1f} min  {100 * top1:.2f} %",
            flush=True,
        )

    def check(self) -> None:
        """Raises _EndedError at the highest goal, or past the limit."""
        if self.epochs and (
            max(e["top1"] for e in self.epochs) >= GOALS[-1] or self.epochs[-1]["s"] > self.limit_s
        ):
            raise _EndedError


class _EndedError(Exception):
    """The last goal is reached, or time is up."""


def ours(model: str, data: Dataset, folder: Path, epochs: int, clock: Clock) -> None:
    """The library's training."""

    def note(epoch: Epoch) -> None:
        clock.tick(epoch.validation_top1)
        clock.check()

    torch.manual_seed(0)
    config = teacher.config_for(model, epochs=epochs)
    train(create_model(model), data["train"], data["validation"], config, folder, on_epoch=note)


def plain(model: str, data: Dataset, folder: Path, epochs: int, clock: Clock) -> None:
    """The loop everyone writes; images come from files that `write_images` left in `folder`."""
    torch.manual_seed(0)
    net = create_model(model)
    loader = plain_loader(folder / "images", BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    kept, done = folder / "state.pt", 0
    if kept.exists():
        done, *states = torch.load(kept)
        for part, state in zip((net, optimizer, schedule), states, strict=True):
            part.load_state_dict(state)
    for number in range(done, epochs):
        torch.manual_seed(number)
        net.train()
        for x, y in loader:
            loss = torch.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        clock.tick(_top1(net.eval(), data["validation"]))
        with atomic_path(kept) as path:
            states = [part.state_dict() for part in (net, optimizer, schedule)]
            torch.save([number + 1, *states], path)
        clock.check()


@torch.inference_mode()
def _top1(net: torch.nn.Module, split: Split) -> float:
    right = 0
    for images, labels in zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True):
        x = (images.float() / 255 - 0.508) / 0.255  # as the loader's transforms
        right += int((net(x).argmax(1) == labels).sum())
    return right / len(split)


def write_images(split: Split, folder: Path) -> None:
    """One PNG file per image, a folder per class."""
    for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = folder / str(int(label)) / f"{i}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as part:
                Image.fromarray(image[0].numpy()).save(part, format="PNG")


def reached(epochs: list[dict[str, float]]) -> list[float | None]:
    """Minutes to each goal; None where it was not reached."""
    return [next((e["s"] / 60 for e in epochs if e["top1"] >= goal), None) for goal in GOALS]


def summary(model: str, sides: dict[str, list[dict[str, float]]]) -> dict:
    """What is kept: minutes of both sides, their ratio where both reached a goal, all epochs."""
    minutes = {side: reached(epochs) for side, epochs in sides.items()}
    both = zip(*minutes.values(), strict=True) if len(minutes) == len(SIDES) else ()
    ratios = [b / a if a and b else None for a, b in both]
    where = describe_environment(data=None, allocator="", device="cpu")
    setting = {"model": model, "cpu": where.cpu, "cores": where.cores, "code": where.code}
    return {**setting, "goals": GOALS, "minutes": minutes, "plain_by_ours": ratios, "epochs": sides}


SIDES: dict[str, Callable[[str, Dataset, Path, int, Clock], None]] = {"ours": ours, "plain": plain}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="vgg_slim")
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", type=Path, required=True, help="where both sides are kept")
    parser.add_argument("--epochs", type=int, default=100, help="of the schedule")
    parser.add_argument("--hours", type=float, default=2.0, help="a side ends after these")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    records = {side: args.runs / f"{side}.json" for side in SIDES}
    if args.started:
        (side,) = args.sides
        tune_process()
        clock = Clock(records[side], args.started, 3600 * args.hours)
        data = load(args.data, ("train", "validation"))
        with suppress(_EndedError):
            clock.check()
            SIDES[side](args.model, data, args.runs / side, args.epochs, clock)
        return
    if "plain" in args.sides:
        write_images(load(args.data, ("train",))["train"], args.runs / "plain" / "images")
    for side in args.sides:
        print(side, flush=True)
        own = [side, "--started", f"{time.time()}"]
        command = [sys.executable, "-m", "benchmarks.time_to_accuracy", *sys.argv[1:], "--sides"]
        subprocess.run([*command, *own], check=True)
    sides = {side: json.loads(path.read_text()) for side, path in records.items() if path.exists()}
    found = summary(args.model, sides)
    write_text(args.out, json.dumps(found, indent=1) + "\n")
    for side, minutes in found["minutes"].items():
        shown = (f"{m:.1f}" if m else f"> {sides[side][-1]['s'] / 60:.0f}" for m in minutes)
        print(side, *(f"{100 * g:.0f} %: {m} min" for g, m in zip(GOALS, shown, strict=True)))


if __name__ == "__main__":
    main()
