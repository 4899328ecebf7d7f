"""`recipes/published.toml` is what the cards of the shipped weight files say."""

from dataclasses import asdict
from pathlib import Path

import pytest

import lightfer
from lightfer.data import load
from lightfer.models.weights import Card, load_checkpoint
from lightfer.train.distill import distillation
from lightfer.train.job import Job, run_job
from lightfer.train.soft_labels import VIEW, read_soft_labels
from lightfer.train.sweep.items import in_order, read_list
from tests.train.sweep.conftest import SMALL

LIST = Path(__file__).parents[3] / "recipes" / "published.toml"
ITEMS = {item.name: item for item in read_list(LIST)}
SHIPPED = sorted((Path(lightfer.__file__).parent / "weights").glob("*.safetensors"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_has_the_item_that_its_card_names(path: Path):
    _, card = load_checkpoint(path)
    item = ITEMS[path.stem]
    assert (item.network, item.seed, item.recipe_text) == (card.model, card.seed, card.recipe)
    config = asdict(item.config())
    assert config["epochs"] == card.epochs
    known = {k: v for k, v in (card.config or {}).items() if k in config and k != "augmentation"}
    assert len(known) > 10
    assert {name: config[name] for name in known} == known
    check_teachers(card, item)


def check_teachers(card: Card, item: Job) -> None:
    told = card.distillation
    assert item.taught == (told is not None)
    if told is not None:
        assert item.once == (told["view"] == VIEW)
        assert [ITEMS[name].model for name in item.teachers] == [
            teacher["model"] for teacher in told["teachers"]
        ]
        amount = distillation(item.temperature, item.weight)
        assert (amount.temperature, amount.weight) == (told["temperature"], told["weight"])


def test_nothing_else_is_listed_and_teachers_come_first():
    assert ITEMS.keys() == {path.stem for path in SHIPPED}
    order = [item.name for item in in_order([*ITEMS.values()])]
    for item in ITEMS.values():
        assert all(order.index(teacher) < order.index(item.name) for teacher in item.teachers)


def test_teachers_that_are_asked_once_are_those_of_a_soft_label_file(
    blind_csv: Path, whole: Path, tmp_path: Path
):
    """The same weights and card as by hand: `teach`, then a student of its file."""
    teachers = tuple(
        str(whole / f"teacher-fold{i}" / "mobilenet_v1_x0_25.safetensors") for i in range(2)
    )
    one = {**SMALL, "epochs": 1}
    data = load(blind_csv, ("train", "validation"))
    job = Job(model="mobilenet_v1_x0_25", settings=one, teachers=teachers, once=True)
    path, card = run_job(job, data, tmp_path / "once")
    soft = tmp_path / "once" / "soft_labels.safetensors"
    assert len(read_soft_labels(soft, data["train"]).teachers) == 2
    by_hand = Job(model="mobilenet_v1_x0_25", settings=one, soft_labels=str(soft))
    other, other_card = run_job(by_hand, data, tmp_path / "by hand")
    assert card.distillation == other_card.distillation
    (a, _), (b, _) = load_checkpoint(path), load_checkpoint(other)
    assert all(a[name].equal(b[name]) for name in a)
    with pytest.raises(ValueError, match="once is of teachers"):
        Job(model="mobilenet_v1", once=True).config()
