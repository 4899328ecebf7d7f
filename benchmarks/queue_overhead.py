"""What a job of `lightfer queue` costs beside its training, and whether memory stays flat.

    python -m benchmarks.queue_overhead pool ray --jobs 1000 --out queue_overhead.json

Timed: the gap between the end of a job, when its weight file is there, and the moment at which the
next job on the same worker has written its `run.json`, by the times of these files. The same gap of
a plain loop over `run_job` in one process is taken away: it builds the network and hashes the data
as well. Jobs are one epoch of a tiny network on 64 drawn faces, on one worker; the loop comes
first and last, and its mean is taken. Memory is the resident set of the session and of all other
processes of the executor that have torch loaded, after every 50 jobs. Ray is
one of its own on this machine.
"""

import argparse
import json
import os
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.executors import marked
from benchmarks.queue_kill import write_faces
from torch import nn

from lightfer._files import write_text
from lightfer.data import load
from lightfer.measure.process import tune_process
from lightfer.train.job import run_job
from lightfer.train.sweep.items import Item
from lightfer.train.sweep.run import Options, Report, run_queue

MODEL = "benchmarks.queue_overhead:tiny"
SETTINGS = {"epochs": 1, "batch_size": 64, "warmup_epochs": 0.5}
MARK = "queue-overhead"
EVERY = 50  # jobs between two looks at the memory


def tiny(num_classes: int = 7, in_channels: int = 1) -> nn.Module:
    """(N, 1, 48, 48) -> (N, 7): convolved once, averaged, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 8, stride=8),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(36, num_classes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="+", choices=("pool", "ray"))
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, help="for each executor; default: to the end")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    os.environ["LIGHTFER_MARK"] = MARK  # so that workers are known
    tune_process(threads=1)
    items = [Item(model=MODEL, name=f"job{i:05}", settings=SETTINGS) for i in range(args.jobs)]
    found: dict[str, Any] = {"jobs": args.jobs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = str(write_faces(folder, train=64, validation=32))
        before = plain(items[: args.jobs // 10], data, folder / "before")
        for kind in args.engines:
            memory: list[dict[str, int]] = []
            count = 0

            def watch(report: Report, memory: list = memory) -> None:
                nonlocal count
                count += report.kind == "finished"
                if report.kind == "finished" and count % EVERY == 0:
                    told = {"session": _mib(os.getpid()), "workers": _workers_mib()}
                    memory.append({"after": count, **told})

            options = Options(folder / kind, data, executor=kind)
            if args.minutes:
                options = replace(options, budget_s=60 * args.minutes)
            session = run_queue(items, options, on_report=watch)
            assert not session.failed, session.failed
            done = [item for item in items if item.name in session.finished]
            found[kind] = {"finished": len(done), "gaps_ms": gaps_ms(folder / kind, done)}
            found[kind]["memory_mib"] = memory
        after = plain(items[: args.jobs // 10], data, folder / "after")
    loop = mean((before["mean"], after["mean"]))
    found["loop_gaps_ms"] = [before, after]
    for kind in args.engines:
        found[kind]["overhead_ms"] = round(found[kind]["gaps_ms"]["mean"] - loop, 1)
    print(json.dumps(found, indent=1))
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")


def plain(items: list[Item], source: str, folder: Path) -> dict[str, float]:
    """The gaps of a loop in this process."""
    data = load(source, ("train", "validation"))
    for item in items:
        run_job(item, data, folder / item.name)
    return gaps_ms(folder, items)


def gaps_ms(folder: Path, items: list[Item]) -> dict[str, float]:
    file = f"{MODEL.replace(':', '.')}.safetensors"
    begun = [(folder / i.name / "run.json").stat().st_mtime for i in items]
    ended = [(folder / i.name / file).stat().st_mtime for i in items]
    gaps = [1e3 * (b - a) for a, b in pairwise(sorted([*begun, *ended]))][1::2]
    return {"mean": round(mean(gaps), 1), "median": round(median(gaps), 1)}


def _workers_mib() -> int:
    return sum(_mib(pid) for pid in marked(MARK))


def _mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) // 1024


if __name__ == "__main__":
    main()
