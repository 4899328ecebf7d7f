"""Teachers' answers on views: a second student takes them from the folder, to the bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightfer.data import Dataset
from lightfer.models.registry import create_model
from lightfer.train.config import TrainConfig
from lightfer.train.distill import Distillation, Teachers, load_teachers, student_options
from lightfer.train.job import train_to_file
from lightfer.train.views import KeptAnswers, _crc32

MODEL = "mobilenet_v1_x0_25"
CONFIG = TrainConfig(epochs=2, batch_size=32, warmup_epochs=0.5, keep="final", mixup=0.3)


@pytest.fixture(scope="module")
def teacher(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("teacher")
    return train_to_file(MODEL, create_model(MODEL), faces, CONFIG, folder, recipe="r")[0]


def learn(faces: Dataset, folder: Path, targets, config: TrainConfig = CONFIG, model: str = MODEL):
    student = student_options(targets, Distillation(), faces["train"], config, "cpu")
    torch.manual_seed(config.seed)
    path, _ = train_to_file(
        model, create_model(model), faces, config, folder, recipe="r", **student
    )
    return load_file(path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each question that a teacher was asked."""
    counts: list[int] = []
    ask = Teachers.ask

    def counting(self, batch):
        counts.append(len(batch.images))
        return ask(self, batch)

    monkeypatch.setattr(Teachers, "ask", counting)
    return counts


def test_students_share_the_answers_and_get_the_same_weights(
    faces: Dataset, teacher: Path, tmp_path: Path, asked: list[int]
):
    train = faces["train"]
    plain = load_teachers([teacher], train, "cpu")
    expected = learn(faces, tmp_path / "plain", plain)
    asked.clear()
    kept = KeptAnswers(plain, tmp_path / "views", train, CONFIG)
    first = learn(faces, tmp_path / "first", kept)
    assert sum(asked) == CONFIG.epochs * len(train)
    asked.clear()
    again = KeptAnswers(plain, tmp_path / "views", train, CONFIG)
    second = learn(faces, tmp_path / "second", again)
    learn(faces, tmp_path / "other", again, model="squeezenet1_1_bn")  # with dropout of its own
    assert asked == []
    for name, value in expected.items():
        assert first[name].equal(value)
        assert second[name].equal(value)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"mixup": 0.0}, {"batch_size": 16}])
def test_students_with_other_views_ask_again(
    faces: Dataset, teacher: Path, tmp_path: Path, asked: list[int], changes
):
    train, config = faces["train"], replace(CONFIG, **changes)
    plain = load_teachers([teacher], train, "cpu")
    learn(faces, tmp_path / "a", KeptAnswers(plain, tmp_path / "views", train, CONFIG))
    asked.clear()
    learn(faces, tmp_path / "b", KeptAnswers(plain, tmp_path / "views", train, config), config)
    assert sum(asked) == CONFIG.epochs * len(train)


def test_students_on_another_kind_of_device_have_a_folder_of_their_own(
    faces: Dataset, teacher: Path, tmp_path: Path
):
    """It draws other views: each of them failed at the answers of a processor."""
    train = faces["train"]
    here, there = (load_teachers([teacher], train, "cpu") for _ in range(2))
    there.mask = there.mask.to("meta")
    folders = {KeptAnswers(one, tmp_path, train, CONFIG).folder for one in (here, there)}
    assert len(folders) == 2


def test_answers_on_foreign_views_are_refused_and_a_damaged_file_is_made_anew(
    faces: Dataset, teacher: Path, tmp_path: Path, asked: list[int]
):
    train = faces["train"]
    plain = load_teachers([teacher], train, "cpu")
    kept = KeptAnswers(plain, tmp_path / "views", train, CONFIG)
    learn(faces, tmp_path / "a", kept)
    file = kept.folder / "epoch-0001.safetensors"
    tensors = load_file(file)
    other = {**tensors, "sums": tensors["sums"] + 100}
    save_file(other, file, metadata={"crc32": _crc32(other)})
    again = KeptAnswers(plain, tmp_path / "views", train, CONFIG)
    with pytest.raises(ValueError, match="answers on other views"):
        learn(faces, tmp_path / "b", again)
    file.write_bytes(b"damaged")
    asked.clear()
    learn(faces, tmp_path / "c", KeptAnswers(plain, tmp_path / "views", train, CONFIG))
    assert sum(asked) == len(train)
    assert load_file(file)["sums"].equal(tensors["sums"])
    sound = file.read_bytes()
    for place in (len(sound) - 1, len(sound) // 2):  # of the sums, and of an answer
        flipped = bytearray(sound)
        flipped[place] ^= 1
        file.write_bytes(flipped)
        asked.clear()
        learn(faces, tmp_path / f"d{place}", KeptAnswers(plain, kept.folder.parent, train, CONFIG))
        assert sum(asked) == len(train)
        assert file.read_bytes() == sound
    for foreign in ({"weight": tensors["sums"]}, {**tensors, "sums": tensors["sums"][:5]}):
        save_file(foreign, kept.folder / "epoch-0000.safetensors")
        assert KeptAnswers(plain, tmp_path / "views", train, CONFIG)._sums.isnan().all()
