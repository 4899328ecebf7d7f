"""Label pictures with `lightfer predict --executor`, undisturbed and killed, beside a plain loop.

    python -m benchmarks.labelling pool ray --pictures 100000 --out labelling.json

The pictures are drawn faces with noise, JPEG of 96x96, one in a thousand cut off; the net is a
fast one, SqueezeNet 1.1 BN. The plain loop is one `Predictor` on one thread over the same files,
with as many at once as there are workers, each in a process of its own and over its share of the
files: two cores of a virtual machine may be one of the real one. What one reaches alone is told,
too. Each executor labels them with two workers of one thread, from the start of the command to its
end, undisturbed and by turns with the plain loops: its share is that of the mean of the loops
before and after it, and the median of the rounds is quoted. Then each labels them while what it
consists of is killed with SIGKILL, by its id and in turn: a process that labels, the command, on
Ray also a raylet alone and a raylet with all its workers, for which a new node comes. In the end
every input must have one row, the cut-off ones with a reason, and every part must be equal to the
bit to that of the first undisturbed run.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from time import perf_counter, sleep
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.executors import Engine, started, working
from PIL import Image
from rich.progress import track

from lightfer._files import write_text
from lightfer.data.synthetic import synthetic_faces
from lightfer.inference.predict import Predictor

BAD = 1000  # every so many a picture is cut off
DRAWN, SIDE, NOISE = 500, 96, 8
MODEL = "squeezenet1_1_bn"
WORKERS = 2
LIBRARY = "onnxruntime"  # is loaded by what labels
WAIT_S = 120.0  # for a part, before the run is given up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="+", choices=("pool", "ray", "dask", "slurm"))
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="undisturbed, by turns")
    parser.add_argument("--kills", type=int, default=8, help="for each executor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = draw_pictures(folder / "pictures", args.pictures)
        found: dict[str, Any] = {
            "pictures": args.pictures,
            "cut_off": len(pictures[::BAD]),
            "workers": WORKERS,
            **undisturbed(args.engines, pictures, folder, args.rounds),
        }
        for kind in args.engines:
            killed = folder / f"{kind}-killed"
            with started(kind) as engine:
                kills = disturb(engine, pictures, killed, args.kills, draw)
            check_rows(killed, pictures)
            check_equal(folder / f"{kind}-0", killed)
            found[kind] |= {
                "kills": kills,
                "every_input_once": True,
                "parts_equal_to_the_bit": True,
            }
            print(kind, json.dumps(found[kind]), flush=True)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")


def undisturbed(
    kinds: Sequence[str], pictures: Sequence[Path], folder: Path, rounds: int
) -> dict[str, Any]:
    """Pictures per second of the plain loop and, a core, of each executor, by turns."""
    alone, plains = plain(pictures[::WORKERS]), [side_by_side(pictures)]
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    shares: dict[str, list[float]] = {kind: [] for kind in kinds}
    for i in range(rounds):
        for kind in kinds:
            with started(kind) as engine:
                seconds = _label(engine, pictures, folder / f"{kind}-{i}")
            check_rows(folder / f"{kind}-{i}", pictures)
            speeds[kind].append(len(pictures) / seconds / WORKERS)
        plains.append(side_by_side(pictures))
        for kind in kinds:
            shares[kind].append(speeds[kind][i] / mean(plains[-2:]))
            print(f"{kind}: {shares[kind][i]:.2f} of the plain loop's pictures/s and core")
    return {
        "plain_alone_pictures_per_s": round(alone),
        "plain_pictures_per_s": [round(speed) for speed in plains],
        **{
            kind: {
                "pictures_per_s_and_core": [round(speed) for speed in speeds[kind]],
                "of_plain_each": [round(share, 3) for share in shares[kind]],
                "of_plain": round(median(shares[kind]), 3),
            }
            for kind in kinds
        },
    }


def draw_pictures(folder: Path, count: int) -> list[Path]:
    """In folders of a thousand, every one with noise of its own."""
    folder.mkdir()
    drawn = synthetic_faces({"train": DRAWN}).splits["train"].images.numpy()
    faces = [
        np.asarray(Image.fromarray(face.reshape(48, 48)).resize((SIDE, SIDE)), np.int16)
        for face in drawn
    ]
    noise = np.random.default_rng(0)
    paths = []
    for i in track(range(count), "drawing"):
        changed = faces[i % DRAWN] + noise.integers(-NOISE, NOISE, (SIDE, SIDE), np.int16)
        buffer = BytesIO()
        Image.fromarray(changed.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG")
        content = buffer.getvalue()
        path = folder / f"{i // 1000:03}" / f"{i:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content[: len(content) // 2] if i % BAD == 0 else content)
        paths.append(path)
    return paths


def side_by_side(pictures: Sequence[Path]) -> float:
    """Pictures per second of each of `WORKERS` plain loops at once, which are begun before."""
    first = (pictures[:WORKERS],)  # loads what a loop needs
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), plain, first) as pool:
        return mean(pool.map(plain, [pictures[i::WORKERS] for i in range(WORKERS)]))


def plain(pictures: Sequence[Path]) -> float:
    """Pictures per second of a loop over a predictor, from its making on."""
    begun = perf_counter()
    predictor = Predictor(MODEL, faces="never", threads=1)
    said = predictor([*pictures])
    assert len(said) == len(pictures)
    return len(pictures) / (perf_counter() - begun)


def disturb(
    engine: Engine, pictures: Sequence[Path], out: Path, kills: int, draw: random.Random
) -> list[dict[str, Any]]:
    """Label with a kill after every few parts, then to the end."""
    victims = ["worker", "command", *engine.nodes]
    parts = -(-len(pictures) // 1000)
    told: list[dict[str, Any]] = []
    command = _begin(engine, pictures, out)
    for i in range(kills):
        kind = victims[i % len(victims)]
        wanted, until = (i + 1) * parts // (kills + 2), perf_counter() + WAIT_S
        while (there := _parts(out)) < wanted:
            assert perf_counter() < until, f"{there} parts of {wanted} after {WAIT_S:.0f} s"
            if command.poll() is not None:  # a shard was lost too often: the same command goes on
                command = _begin(engine, pictures, out)
            sleep(0.02)
        sleep(draw.uniform(0, 0.5))
        told.append({"kill": kind, "parts": _parts(out)})
        if kind == "command":
            command.kill()
            command.wait()
            command = _begin(engine, pictures, out)
        elif kind == "worker":
            busy = [pid for pid in working(engine.mark, LIBRARY) if pid != command.pid]
            told[-1]["hit"] = bool(busy)  # else nothing was labelled just then
            with suppress(ProcessLookupError, IndexError):
                os.kill(draw.choice(busy), signal.SIGKILL)
        else:
            engine.nodes[kind]()
    command.wait()
    if _parts(out) < parts:  # a shard was lost too often
        _label(engine, pictures, out)
    return told


def _label(engine: Engine, pictures: Sequence[Path], out: Path) -> float:
    """From the start of the command to its end, in seconds."""
    begun = perf_counter()
    code = _begin(engine, pictures, out).wait()
    assert code == 1, f"exit code {code}, expected 1: some are unusable; see {_log(out)}"
    return perf_counter() - begun


def check_rows(folder: Path, pictures: Sequence[Path]) -> None:
    """Raises AssertionError unless every input has one row, and the cut-off ones a reason."""
    rows: Counter[str] = Counter()
    unusable = set()
    for part in folder.glob("part-*.parquet"):
        table = pq.read_table(part, columns=["item", "error"]).to_pydict()
        rows.update(table["item"])
        pairs = zip(table["item"], table["error"], strict=True)
        unusable |= {item for item, error in pairs if error is not None}
    assert rows == Counter(map(str, pictures)), "not every input has one row"
    assert unusable == set(map(str, pictures[::BAD])), "not the cut-off pictures are unusable"


def check_equal(one: Path, other: Path) -> None:
    """Raises AssertionError unless both folders have the same parts with the same rows."""
    names = [sorted(part.name for part in folder.glob("part-*")) for folder in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        assert pq.read_table(one / name).equals(pq.read_table(other / name)), name


def _begin(engine: Engine, pictures: Sequence[Path], out: Path) -> subprocess.Popen:
    where = pictures[0].parents[1]
    command = [sys.executable, "-m", "lightfer", "predict", where, "--faces", "never"]
    command += ["--model", MODEL, "--executor", engine.name, "--workers", str(WORKERS)]
    command += ["--out", out]
    with _log(out).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _log(out: Path) -> Path:
    return out.with_suffix(".log")


def _parts(out: Path) -> int:
    return len([*out.glob("part-*.parquet")])


if __name__ == "__main__":
    main()
