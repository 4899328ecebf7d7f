"""The shipped weights: complete cards, and on the real data the accuracy that they state.

By day one net of either labels is scored, and each card's figure is one that was written down of
this very file; in a night's work, see `tests/test_campaign.py`, every net is scored.
"""

import json
import re

import pytest

from lightfer._files import sha256_of
from lightfer.data import load
from lightfer.data.dataset import CLASSES
from lightfer.inference.predict.network import DEFAULT_MODEL
from lightfer.measure.accuracy import score_test
from lightfer.models.registry import DEFAULT_MODELS, ZOO, create_model, list_models, shipped
from lightfer.models.weights import load_checkpoint
from tests.conftest import ROOT, by_day

SHIPPED = list_models(pretrained=True)
FERPLUS = list_models(pretrained=True, labels="ferplus")
SCORED = by_day(["mobilenet_v3_small", "mobilenet_v3_small_ferplus"], SHIPPED + FERPLUS)


def test_every_family_of_the_race_is_shipped():
    assert set(DEFAULT_MODELS) <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED + FERPLUS)
def test_the_card_says_everything(name: str):
    labels, images = ("fer+", (3186, 3137)) if name in FERPLUS else ("fer2013", (3589, 3589))
    path = shipped(name)
    assert path is not None
    _, card = load_checkpoint(path)
    assert (card.model, card.classes, card.data_name) == (name, CLASSES, labels)
    assert set(card.data_sha256) == {"train", "validation"}
    assert (card.trained_on, card.chosen_on) == ("train", "validation")
    assert 1 <= card.epoch <= card.epochs
    assert card.epochs >= (30 if card.recipe.startswith("first_light") else 20)
    assert card.training_s > 0
    assert re.fullmatch(r"[0-9a-f]{12}(\+dirty(\.[0-9a-f]{6})?)?", card.code)
    for accuracy, split, count in zip(
        (card.validation, card.test), ("validation", "test"), images, strict=True
    ):
        assert accuracy is not None
        assert (accuracy.split, accuracy.view, accuracy.labels) == (split, "single", labels)
        assert accuracy.images == count
    assert "EU" in card.not_intended_use
    assert "research" in card.license


def test_predict_takes_the_most_accurate_one_on_validation():
    on_validation = {}
    for name in SHIPPED:
        accuracy = load_checkpoint(shipped(name))[1].validation  # type: ignore[arg-type]
        assert accuracy is not None
        on_validation[name] = accuracy.top1
    assert max(on_validation, key=lambda name: on_validation[name]) == DEFAULT_MODEL


def test_weights_stay_small():
    paths = [shipped(name) for name in SHIPPED]
    assert sum(path.stat().st_size for path in paths if path) < 48 * 2**20


@pytest.mark.parametrize("name", SHIPPED + FERPLUS)
def test_a_scoring_of_this_file_gave_the_cards_accuracy(name: str):
    path = shipped(name)
    assert path is not None
    _, card = load_checkpoint(path)
    assert card.test is not None
    lines = map(json.loads, (ROOT / "test_scorings.jsonl").read_text().splitlines())
    here = sha256_of(path)
    scored = {(line["images"], line["top1"]) for line in lines if line["weights"] == here}
    assert (card.test.images, card.test.top1) in scored


@pytest.mark.parametrize("name", SCORED)
def test_the_real_test_accuracy_is_the_cards(name: str, fer2013_dir, tmp_path):
    path = shipped(name)
    assert path is not None
    _, card = load_checkpoint(path)
    data = load(fer2013_dir)
    assert data.verified
    accuracy, _ = score_test(
        create_model(name, pretrained=True),
        data,
        labels=card.labels,
        model_name=name,
        weights_sha256=sha256_of(path),
        views=(),
        log=tmp_path / "log",
    )
    assert card.test is not None
    # Another processor may round a few logits across a border: three images of 3,589.
    assert accuracy.top1 == pytest.approx(card.test.top1, abs=3 / 3589)
    assert accuracy.top1 >= (0.79 if name in FERPLUS else 0.58)


def test_every_family_reaches_sixty_one_percent():
    tops = {}
    for name in SHIPPED:
        _, card = load_checkpoint(shipped(name))  # type: ignore[arg-type]
        assert card.test is not None
        tops.setdefault(ZOO[name].family, []).append(card.test.top1)
    assert min(max(values) for values in tops.values()) >= 0.61
