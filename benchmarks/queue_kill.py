"""Kill `lightfer queue` at random moments and start it again; see that it keeps its budget.

    python benchmarks/queue_kill.py --kills 10 --out out/queue_kill.json

The list is two teachers, each without its half of the train split, and their student. Every second
kill takes the runner only, whose workers must then leave by themselves. Weights must be equal to
the bit to those of a run that nobody disturbed. Then sessions with a budget, too short for the list
and packed at the end, are timed from outside; what is reported is by how much they missed it.
On a thousand drawn faces without a test split unless `--data` says otherwise; one thread, two items
side by side.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from lightfer._files import write_text
from lightfer.data.dataset import SplitName
from lightfer.data.synthetic import synthetic_faces
from lightfer.models.weights import load_checkpoint

LIGHTFER = [sys.executable, "-m", "lightfer", "queue"]
SETTINGS = "settings = {{ epochs = {epochs}, batch_size = 32, warmup_epochs = 0.5 }}"
LIST = """
[[item]]
name = "student"
model = "shufflenet_v2_x0_5"
teachers = ["teacher"]
value = 2
{settings}

[[item]]
name = "teacher"
model = "mobilenet_v1_x0_25"
folds = 2
{settings}
"""
EPOCHS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="0: not at all")
    parser.add_argument("--sessions", type=int, default=3, help="0: none")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds")
    parser.add_argument("--data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="what it holds beside is kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = args.data or str(write_faces(folder))
        found: dict[str, Any] = {}
        if args.kills:
            found["kill"] = kill_queue(folder, data, args.kills, random.Random(args.seed))
        if args.sessions:
            found["budget"] = keep_budget(folder, data, args.sessions, args.budget)
    print(json.dumps(found, indent=1))
    if args.out:
        known = json.loads(args.out.read_text()) if args.out.exists() else {}
        write_text(args.out, json.dumps({**known, **found}, indent=1) + "\n")


def kill_queue(folder: Path, data: str, kills: int, draw: random.Random) -> dict[str, Any]:
    """Raises AssertionError if the weights differ from those of an undisturbed run."""
    path = write_list(folder, EPOCHS)
    command = [*LIGHTFER, str(path), "--data", data, "--workers", "2", "--out"]
    begun = perf_counter()
    subprocess.run([*command, str(folder / "whole")], check=True, capture_output=True)
    whole_s = perf_counter() - begun
    in_all = count_epochs(folder / "whole")
    killed = folder / "killed"
    after = kill([*command, str(killed)], killed, kills, draw, whole_s / in_all)
    check_equal(folder / "whole", killed)
    return {
        "kills": len(after),
        "undisturbed_s": round(whole_s, 1),
        "epochs_in_all": in_all,
        "epochs_on_disk_after_each_kill": after,
        "weights_equal_to_the_bit": True,
    }


def kill(
    command: list[str], folder: Path, kills: int, draw: random.Random, epoch_s: float
) -> list[int]:
    """Start, kill within an epoch's time of 0 to 2 more epochs, `kills` times; then run to the end.

    Returns the number of epochs on disk after each kill that found the queue running.
    """
    after: list[int] = []
    for i in range(kills):
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wanted = count_epochs(folder) + draw.randint(0, 2)
        while process.poll() is None and count_epochs(folder) < wanted:
            sleep(0.01)
        sleep(draw.uniform(0, epoch_s))
        if process.poll() is not None:
            break  # it was finished before the last kill
        if i % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        after.append(count_epochs(folder))
    subprocess.run(command, check=True, capture_output=True)
    return after


def check_equal(whole: Path, killed: Path) -> None:
    """Raises AssertionError if any weight differs, or if there are none."""
    files = sorted(path.relative_to(whole) for path in whole.glob("*/*_*.safetensors"))
    assert len(files) == 3
    for name in files:
        (a, _), (b, _) = load_checkpoint(whole / name), load_checkpoint(killed / name)
        assert a.keys() == b.keys()
        assert all(a[key].equal(b[key]) for key in a), name


def keep_budget(folder: Path, data: str, sessions: int, budget_s: float) -> dict[str, Any]:
    """Times of sessions that cannot finish their list, from outside."""
    path = write_list(folder, 10_000)
    off_s, lines = [], []
    for i in range(sessions):
        out, pack = folder / f"budget{i}", folder / f"budget{i}.zip"
        command = [*LIGHTFER, str(path), "--data", data, "--workers", "2", "--out", str(out)]
        begun = perf_counter()
        command += ["--minutes", str(budget_s / 60), "--pack", str(pack)]
        subprocess.run(command, check=True, capture_output=True)
        off_s.append(round(perf_counter() - begun - budget_s, 2))
        assert pack.stat().st_size > 0
        lines.append(json.loads((out / "sessions.jsonl").read_text().splitlines()[-1]))
    keys = ("pack_s", "lost_s")
    costs = {key: [round(line[key], 2) for line in lines] for key in keys}
    return {"budget_s": budget_s, "over_budget_s": off_s, **costs}


def write_faces(folder: Path, train: int = 1000, validation: int = 200, test: int = 0) -> Path:
    """In the form of Kaggle's file."""
    path, lines = folder / "fer2013.csv", ["emotion,pixels,Usage"]
    counts: dict[SplitName, int] = {"train": train, "validation": validation, "test": test}
    faces = synthetic_faces({name: count for name, count in counts.items() if count})
    usages = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    for name, split in faces.splits.items():
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            pixels = " ".join(map(str, image.flatten().tolist()))
            lines.append(f"{label},{pixels},{usages[name]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_list(folder: Path, epochs: int) -> Path:
    path = folder / f"list{epochs}.toml"
    path.write_text(LIST.format(settings=SETTINGS.format(epochs=epochs)))
    return path


def count_epochs(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*/history.jsonl"))


if __name__ == "__main__":
    main()
