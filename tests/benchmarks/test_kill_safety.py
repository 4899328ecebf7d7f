"""A few stops of a few commands; `benchmarks/kill_safety.py` does the same to all, more often."""

import random
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from benchmarks.kill_safety import COMMANDS, Running, Trial
from benchmarks.queue_kill import write_faces
from PIL import Image

from benchmarks import kill_safety
from lightfer.data import Dataset

WORDS = {
    "train": "train shufflenet_v2_x0_5 --data fer2013.csv --threads 1 --epochs 4 --out o/out",
    "bench": "bench squeezenet1_1_bn --data fer2013.csv --threads 1 --quick --rounds 2 "
    "--batch-size 1 --out o/out",
    "predict": "predict faces --threads 1 --out o/out",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, faces: Dataset) -> Path:
    rooms = ["lightfer.cli.main", "lightfer.bench.run", "lightfer.train.job"]
    kill_safety.FORK.set_forkserver_preload([*rooms, "torch._dynamo", "scipy.stats"])
    folder = tmp_path_factory.mktemp("base")
    write_faces(folder, train=100, validation=25, test=25)
    (folder / "faces").mkdir()
    for i, image in enumerate(faces["test"].images[:8]):
        Image.fromarray(image[0].numpy()).save(folder / "faces" / f"{i}.png")
    assert (
        Running(["--version"], folder, {}, loaded=True).end()[0] == 0
    )  # loads, before times count
    return folder


def trial(name: str, base: Path, folder: Path) -> Trial:
    """Runs the command once, undisturbed."""
    return Trial(replace(COMMANDS[name], words=WORDS[name]), base, folder)


def test_train_is_continued_to_the_bit(base: Path, tmp_path: Path):
    train = trial("train", base, tmp_path)
    assert train.stop(SIGKILL, 2)["hit"] == 2
    assert train.stop(SIGTERM, 1)["hit"] == 1


def test_bench_keeps_what_was_recorded(base: Path, tmp_path: Path):
    bench = trial("bench", base, tmp_path)
    assert bench.stop(SIGKILL, 2)["hit"] == 2


def test_predict_writes_all_or_nothing(base: Path, tmp_path: Path):
    predict = trial("predict", base, tmp_path)
    for number in (SIGINT, SIGTERM, SIGKILL):
        assert predict.stop(number, 1)["hit"] == 1
    predict.draw = random.Random(1)  # 0.16 of what is needed
    try:
        assert predict.fill(1)["too_small"] == 1
    except OSError as error:
        pytest.skip(str(error))
