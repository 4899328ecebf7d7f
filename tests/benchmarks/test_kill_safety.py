"""kill -9 and the same command again; `benchmarks/kill_safety.py` does the same more often."""

import random
from pathlib import Path

from benchmarks.kill_safety import kill_bench, kill_train


def test_train_and_bench_survive_kill_9(small_csv: Path, tmp_path: Path):
    draw = random.Random(0)
    assert "equal to the bit" in kill_train(tmp_path, str(small_csv), 2, draw, epochs=8)
    assert "operations equal" in kill_bench(tmp_path, str(small_csv), 2, draw)
