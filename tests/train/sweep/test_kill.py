"""kill -9 in the middle of a queue; `benchmarks/queue_kill.py` does it more often."""

import json
import random
from pathlib import Path

from benchmarks.queue_kill import LIGHTFER, check_equal, kill, write_list

from lightfer.data import load
from tests.train.sweep.conftest import EPOCHS


def test_a_killed_queue_ends_with_the_same_weights(whole: Path, blind_csv: Path, tmp_path: Path):
    """By the command, on data without a test split; `whole` is the oracle."""
    assert set(load(blind_csv, None).splits) == {"train", "validation"}
    command = [*LIGHTFER, str(write_list(tmp_path, EPOCHS)), "--data", str(blind_csv)]
    command += ["--workers", "1", "--out", str(tmp_path / "killed")]
    after = kill(command, tmp_path / "killed", 2, random.Random(3), 0.1)
    assert 1 <= len(after) <= 2
    assert max(after) < 3 * EPOCHS
    check_equal(whole, tmp_path / "killed")


def test_the_published_endurance_run_holds_what_the_docs_say():
    figures = json.loads((Path(__file__).parents[3] / "docs" / "queue_kill.json").read_text())
    assert figures["kill"]["kills"] >= 10
    assert figures["kill"]["weights_equal_to_the_bit"] is True
    assert all(abs(s) <= 15 for s in figures.get("budget", {}).get("over_budget_s", ()))
