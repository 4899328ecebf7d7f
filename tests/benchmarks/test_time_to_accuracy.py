"""Minutes to an accuracy: both sides train, go on where they were, and end at the last goal."""

import json
from pathlib import Path

import pytest
from benchmarks.time_to_accuracy import SIDES, Clock, _EndedError, reached, summary, write_images

from benchmarks import time_to_accuracy, train_throughput
from lightfer.data import Dataset
from lightfer.data.synthetic import synthetic_faces

NET = "mobilenet_v1_x0_25"
EPOCHS = 4  # more than the warm-up


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(train_throughput, "WORKERS", 0)
    monkeypatch.setattr(time_to_accuracy, "GOALS", (0.2, 2.0))  # the last one is never reached
    return synthetic_faces({"train": 192, "validation": 64}, seed=0)


@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_goes_on_counts_its_time_and_ends_where_it_would_have(
    side: str, faces: Dataset, tmp_path: Path
):
    write_images(faces["train"], tmp_path / "whole" / "images")
    write_images(faces["train"], tmp_path / "parts" / "images")
    whole = Clock(tmp_path / "whole.json", started=0.0, limit_s=1e12)
    SIDES[side](NET, faces, tmp_path / "whole", EPOCHS, whole)
    path = tmp_path / "parts.json"
    for epoch in range(1, EPOCHS):  # each process ends after one epoch more
        clock = Clock(path, started=0.0, limit_s=0.0)
        with pytest.raises(_EndedError):
            SIDES[side](NET, faces, tmp_path / "parts", EPOCHS, clock)
        assert len(json.loads(path.read_text())) == epoch
    SIDES[side](NET, faces, tmp_path / "parts", EPOCHS, Clock(path, started=0.0, limit_s=1e12))
    found = json.loads(path.read_text())
    assert [e["top1"] for e in found] == [e["top1"] for e in whole.epochs]
    seconds = [e["s"] for e in found]
    assert seconds == sorted(seconds)
    assert seconds[-1] - seconds[0] < 600 < seconds[0]  # the start counts once


def test_a_goal_is_reached_by_the_first_epoch_at_or_above_it():
    assert time_to_accuracy.GOALS == (0.65, 0.68, 0.70)
    quick = [{"s": 60.0, "top1": 0.60}, {"s": 120.0, "top1": 0.65}, {"s": 180.0, "top1": 0.69}]
    slow = [{"s": 600.0, "top1": 0.66}]
    assert reached(quick) == [2.0, 3.0, None]
    found = summary(NET, {"ours": quick, "plain": slow})
    assert found["plain_by_ours"] == [5.0, None, None]
    assert summary(NET, {"ours": quick})["plain_by_ours"] == []
