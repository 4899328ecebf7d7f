"""Training throughput against two loops that people write, as ratios in one run.

    python benchmarks/train_throughput.py --out out/train_throughput.json

plain:      ImageFolder, torchvision transforms, DataLoader with 4 workers, eager NCHW float32,
            batch 64, the system's allocator, no averaged weights.
plain_bf16: the same loop with two lines more: channels last, and bfloat16 by autocast, which ours
            computes in too.
ours:       `lightfer.train` with the recipe of each model: images as one tensor, augmentation in
            batches, channels last, bfloat16, tuned process, averaged weights and gradient clipping
            included.

All sides train the same network with AdamW on the same synthetic faces, each in processes of its
own, in turn (plain, plain_bf16, ours, plain, ...). A side's figure is the median over its rounds of
images per second between the 6th batch and the last. Compare ratios, not absolute figures.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from PIL import Image

from lightfer._files import write_text
from lightfer.data import Split
from lightfer.data.synthetic import synthetic_faces
from lightfer.measure.process import tune_process
from lightfer.models._torchvision import import_torchvision
from lightfer.models.registry import DEFAULT_MODELS, ZOO
from lightfer.train.loop import train
from lightfer.train.recipes import second_light

BATCH, SKIPPED, WORKERS = 64, 5, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(DEFAULT_MODELS))
    parser.add_argument("--batches", type=int, default=45, help="per process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(SIDES[args.side](args.models[0], args.folder, args.batches))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_faces(folder, args.batches * BATCH)
        rows = [_compare(model, folder, args.batches, args.rounds) for model in args.models]
    summary = {}
    for side in ("plain", "plain_bf16"):
        ratios = [row["ratio"][side] for row in rows]
        mean, least = statistics.geometric_mean(ratios), min(ratios)
        summary[side] = {"geometric_mean": mean, "minimum": least}
        print(f"ours / {side}: geometric mean {mean:.2f}, minimum {least:.2f}")
    if args.out:
        write_text(args.out, json.dumps({"ours": summary, "models": rows}, indent=1) + "\n")


def _compare(model: str, folder: Path, batches: int, rounds: int) -> dict:
    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, values in speeds.items():
            command = [sys.executable, __file__, model, "--side", side, "--folder", str(folder)]
            command += ["--batches", str(batches)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            values.append(float(done.stdout.split()[-1]))
    plain, half, ours = (statistics.median(values) for values in speeds.values())
    print(f"{model:20s} plain {plain:6.0f}  bf16 {half:6.0f}  ours {ours:6.0f} images/s", end="")
    print(f"  ratios {ours / plain:.2f} {ours / half:.2f}")
    ratio = {"plain": ours / plain, "plain_bf16": ours / half}
    return {"model": model, "ratio": ratio, "images_per_s": speeds}


def plain_loader(folder: Path, batch: int) -> torch.utils.data.DataLoader:
    """The train images of a folder per class, as people read and augment them."""
    transforms = import_torchvision("torchvision.transforms")
    datasets = import_torchvision("torchvision.datasets")
    images = datasets.ImageFolder(
        folder,
        transforms.Compose(
            [
                transforms.Grayscale(),
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(10, translate=(0.08, 0.08), scale=(0.88, 1.12)),
                transforms.ColorJitter(brightness=0.15, contrast=0.25),
                transforms.ToTensor(),
                transforms.Normalize(0.508, 0.255),
            ]
        ),
    )
    return torch.utils.data.DataLoader(images, batch, shuffle=True, num_workers=WORKERS)


def _plain(model: str, folder: Path, batches: int, half: bool = False) -> float:
    loader = plain_loader(folder, BATCH)
    layout = torch.channels_last if half else torch.contiguous_format
    net = ZOO[model]().train()
    net = net.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    start, done = 0.0, 0
    for i, (x, y) in enumerate(loader):
        if i == SKIPPED:
            start = perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = net(x.contiguous(memory_format=layout))
        loss = torch.nn.functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done += len(y) if i >= SKIPPED else 0
    return done / (perf_counter() - start)


def _ours(model: str, folder: Path, batches: int) -> float:
    tune_process()
    faces = synthetic_faces({"train": batches * BATCH, "validation": 8}, seed=0)
    times: list[float] = []
    config = second_light.config_for(model, epochs=2, batch_size=BATCH)
    with tempfile.TemporaryDirectory() as run, suppress(_OneEpochError):
        train(
            ZOO[model](),
            faces["train"],
            faces["validation"],
            config,
            Path(run),
            on_batch=lambda epoch, done, of: _note(times, done, of),
        )
    return (len(times) - SKIPPED) * BATCH / (times[-1] - times[SKIPPED - 1])


class _OneEpochError(Exception):
    """One epoch is timed."""


def _note(times: list[float], done: int, of: int) -> None:
    times.append(perf_counter())
    if done == of:
        raise _OneEpochError


SIDES = {"plain": _plain, "plain_bf16": partial(_plain, half=True), "ours": _ours}


def _write_faces(folder: Path, count: int) -> None:
    faces: Split = synthetic_faces({"train": count}, seed=0)["train"]
    for i, (image, label) in enumerate(zip(faces.images, faces.labels, strict=True)):
        path = folder / str(int(label)) / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path, quality=95)


if __name__ == "__main__":
    main()
