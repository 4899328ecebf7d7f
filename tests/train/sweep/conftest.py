"""A small queue, data without a test split, and what the queue has to end with."""

from pathlib import Path

import msgspec
import pytest

from lightfer.data import load
from lightfer.measure.process import tune_process
from lightfer.train.job import run_job
from lightfer.train.sweep.items import Item, job_of

EPOCHS = 2
SMALL = {"epochs": EPOCHS, "batch_size": 32, "warmup_epochs": 0.5}
TEACHER = Item(model="mobilenet_v1_x0_25", name="teacher", settings=SMALL)
FOLDS = [msgspec.structs.replace(TEACHER, name=f"teacher-fold{i}", fold=f"{i}/2") for i in range(2)]
STUDENT = Item(
    model="shufflenet_v2_x0_5",
    name="student",
    value=2.0,
    settings=SMALL,
    teachers=("teacher-fold0", "teacher-fold1"),
)
ITEMS = (STUDENT, *FOLDS)


@pytest.fixture(scope="session")
def whole(blind_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oracle: every item trained by itself, without a queue."""
    folder = tmp_path_factory.mktemp("queue") / "whole"
    tune_process(threads=1)  # as a worker does
    data = load(blind_csv, ("train", "validation"))
    for item in (*FOLDS, STUDENT):
        run_job(job_of(item, ITEMS, folder), data, folder / item.name)
    return folder
