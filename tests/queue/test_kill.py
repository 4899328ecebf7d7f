"""kill -9 in the middle of a queue; `benchmarks/queue_kill.py` does it more often."""

import random
from pathlib import Path

from benchmarks.queue_kill import kill_queue


def test_a_killed_queue_ends_with_the_same_weights(small_csv: Path, tmp_path: Path):
    found = kill_queue(tmp_path, str(small_csv), 2, random.Random(0), epochs=2)
    assert found["weights_equal_to_the_bit"]
    assert found["kills"] >= 1
