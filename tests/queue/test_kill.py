"""kill -9 in the middle of a queue; `benchmarks/queue_kill.py` does it more often."""

import random
from pathlib import Path

from benchmarks.queue_kill import LIGHTFER, check_equal, kill, write_list

from lightfer.data import load
from tests.queue.conftest import EPOCHS


def test_a_killed_queue_ends_with_the_same_weights(whole: Path, blind_csv: Path, tmp_path: Path):
    """By the command, on data without a test split; `whole` is the oracle."""
    assert set(load(blind_csv, None).splits) == {"train", "validation"}
    command = [*LIGHTFER, str(write_list(tmp_path, EPOCHS)), "--data", str(blind_csv)]
    command += ["--workers", "1", "--out", str(tmp_path / "killed")]
    after = kill(command, tmp_path / "killed", 2, random.Random(3), 0.1)
    assert 1 <= len(after) <= 2
    assert max(after) < 3 * EPOCHS
    check_equal(whole, tmp_path / "killed")
