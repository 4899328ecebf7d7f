"""Kill `train` and `bench` at random moments, run the same command again, compare with no kill.

    python benchmarks/kill_safety.py --kills 20

`train` must end with a weight file equal to the bit; the time it took is the one thing in the card
that may differ. `bench` must end with accuracy and operations equal to an undisturbed run's, and
what was recorded before a kill must stand unchanged in the file afterwards. On synthetic faces
unless `--data` says otherwise, with one thread. The moments are drawn over the length of the
undisturbed run; a continued run is shorter, so some come too late: these are not counted, the
finished run is compared, and the next one starts from nothing.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

from lightfer.models.weights import load_checkpoint
from lightfer.results import read_results

MODEL = "shufflenet_v2_x0_5"
LIGHTFER = [sys.executable, "-m", "lightfer"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw = random.Random(args.seed)
        print(kill_train(Path(folder), args.data, args.kills, draw))
        print(kill_bench(Path(folder), args.data, args.kills, draw))


def kill_train(folder: Path, data: str, kills: int, draw: random.Random, epochs: int = 2) -> str:
    """Raises AssertionError if the weights differ from those of an undisturbed run."""
    command = [*LIGHTFER, "train", MODEL, "--data", data, "--threads", "1"]
    command += ["--epochs", str(epochs), "--out"]
    seconds = _run([*command, str(folder / "whole")])
    killed = folder / "killed"

    def compare(finished: bool) -> None:
        if finished:
            _assert_equal_weights(folder / "whole", killed)
            shutil.rmtree(killed)

    late = _kill([*command, str(killed)], seconds, kills, draw, compare)
    _assert_equal_weights(folder / "whole", killed)
    return (
        f"train: {kills} kills hit the running command, {late} came late; weights equal to the bit"
    )


def _assert_equal_weights(whole: Path, killed: Path) -> None:
    (weights, card), (again, card_again) = (
        load_checkpoint(run / f"{MODEL}.safetensors") for run in (whole, killed)
    )
    assert weights.keys() == again.keys()
    assert all(weights[name].equal(again[name]) for name in weights)
    assert (card.epoch, card.validation) == (card_again.epoch, card_again.validation)


def kill_bench(folder: Path, data: str, kills: int, draw: random.Random) -> str:
    """Raises AssertionError if a figure that time does not decide differs."""
    weights = str(folder / "whole" / f"{MODEL}.safetensors")
    command = [*LIGHTFER, "bench", weights, "mobilenet_v1_x0_25", "--data", data]
    command += ["--threads", "1", "--rounds", "5"]
    seconds = _run([*command, "--out", str(folder / "whole.json")])
    out, journal, kept = folder / "killed.json", folder / ".killed.json.journal", []

    def check_journal(finished: bool) -> None:
        """What the journal held after the last kill, it still holds, unless the run ended since.

        A run that was killed on its way out had ended: its results are there.
        """
        if finished or out.exists():
            out.unlink()
            kept.clear()
        elif not journal.exists():
            assert not kept, "what was recorded is gone"
        else:
            lines = journal.read_bytes().splitlines(keepends=True)
            now = [line for line in lines if line.endswith(b"\n")]
            assert now[: len(kept)] == kept, "what was recorded has changed"
            kept[:] = now

    late = _kill([*command, "--out", str(out)], seconds, kills, draw, check_journal)
    whole, again = (read_results(folder / name) for name in ("whole.json", "killed.json"))
    for a, b in zip(whole.entries, again.entries, strict=True):
        assert (a.accuracy, a.accuracy_other) == (b.accuracy, b.accuracy_other)
        assert (a.model, a.params, a.macs, a.weights) == (b.model, b.params, b.macs, b.weights)
        timed = [[(t.batch_size, t.clock, t.rounds) for t in e.latency] for e in (a, b)]
        assert timed[0] == timed[1]
    return f"bench: {kills} kills hit the running command, {late} came late; operations equal"


def _run(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - start


def _kill(
    command: list[str],
    seconds: float,
    kills: int,
    draw: random.Random,
    after: Callable[[bool], None],
) -> int:
    """Start and kill at a random moment until `kills` hit the running command; then run to the end.

    `after` is told of each one whether the run had ended before. Returns how many had.
    """
    hit = late = 0
    while hit < kills:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sleep(draw.uniform(0.05, 0.95) * seconds)
        finished = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        hit, late = hit + (not finished), late + finished
        after(finished)
    _run(command)
    return late


if __name__ == "__main__":
    main()
