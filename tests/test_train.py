"""Training on synthetic faces: it learns, it resumes to the same bits, it never sees the test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightfer.checkpoint import load_checkpoint
from lightfer.data import Dataset
from lightfer.data.augment import MEAN, STD, Augmentation, augment, normalize
from lightfer.evaluate import measure_accuracy, predict_logits
from lightfer.train import TrainConfig, train, train_to_file
from lightfer.zoo import create_model

CONFIG = TrainConfig(epochs=3, batch_size=16, warmup_epochs=0.5, ema_decay=0.9)
MODEL = "shufflenet_v2_x0_5"


def fresh():
    torch.manual_seed(0)
    return create_model(MODEL)


def run(faces: Dataset, folder: Path, config: TrainConfig = CONFIG, **options):
    return train(fresh(), faces["train"], faces["validation"], config, folder, **options)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_gives_the_same_bits(faces: Dataset, tmp_path: Path, optimizer):
    config = replace(CONFIG, optimizer=optimizer)
    whole = run(faces, tmp_path / "whole", config)

    def stop_in_epoch_two(epoch: int, done: int, of: int) -> None:
        if (epoch, done) == (2, 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(faces, tmp_path / "parts", config, on_batch=stop_in_epoch_two)
    parts = run(faces, tmp_path / "parts", config)
    assert [replace(e, wall_s=0, cpu_s=0) for e in parts.history] == [
        replace(e, wall_s=0, cpu_s=0) for e in whole.history
    ]
    assert all(torch.equal(parts.weights[k], v) for k, v in whole.weights.items())


def test_the_kept_weights_are_those_of_the_best_epoch(faces: Dataset, tmp_path: Path):
    result = run(faces, tmp_path)
    model = fresh()
    model.load_state_dict(result.weights)
    validation = faces["validation"]
    accuracy = measure_accuracy(
        predict_logits(model, validation.images),
        validation.labels,
        split="validation",
        label_source="synthetic",
    )
    assert accuracy.top1 == pytest.approx(max(e.validation_top1 for e in result.history))
    assert result.kept.validation_top1 == max(e.validation_top1 for e in result.history)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_learns_faces_it_can_memorise(faces: Dataset, tmp_path: Path):
    still = Augmentation(False, 0, 0, 0, 0, 0, 0, 0.1)
    config = replace(CONFIG, epochs=12, augmentation=still, weight_decay=0.0)
    history = run(faces, tmp_path, config).history
    assert history[-1].train_loss < 0.75 * history[0].train_loss


def test_writes_a_card_without_having_the_test_split(faces: Dataset, tmp_path: Path):
    blind = replace(faces, splits={k: v for k, v in faces.splits.items() if k != "test"})
    config = replace(CONFIG, epochs=1)
    path, card = train_to_file(MODEL, fresh(), blind, config, tmp_path, recipe="r")
    _, read = load_checkpoint(path)
    assert read == card
    assert (card.recipe, card.seed, card.epochs, card.test) == ("r", 0, 1, None)
    assert card.data_sha256["train"] == faces["train"].sha256()
    model = create_model(MODEL, pretrained=path)
    logits = predict_logits(model, faces["validation"].images)
    assert card.validation is not None
    right = (logits.argmax(1) == faces["validation"].labels).float().mean().item()
    assert card.validation.top1 == pytest.approx(right)


def test_a_folder_of_another_run_is_refused(faces: Dataset, tmp_path: Path):
    run(faces, tmp_path, replace(CONFIG, epochs=1))
    with pytest.raises(ValueError, match="another configuration"):
        run(faces, tmp_path, replace(CONFIG, epochs=2))
    train_to_file(MODEL, fresh(), faces, replace(CONFIG, epochs=1), tmp_path, recipe="a")
    with pytest.raises(ValueError, match="recipe a, now it is b"):
        train_to_file(MODEL, fresh(), faces, replace(CONFIG, epochs=1), tmp_path, recipe="b")


def test_augmentation_of_nothing_is_the_plain_input(faces: Dataset):
    images = faces["train"].images[:8]
    nothing = Augmentation(False, 0, 0, 0, 0, 0, 0, 0.1)
    changed = augment(images, nothing, torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed, normalize(images), atol=1e-4, rtol=0)


def test_augmentation_repeats_with_its_generator_and_differs_per_image(faces: Dataset):
    images = faces["train"].images[:1].expand(8, -1, -1, -1)
    first, second = (
        augment(images, Augmentation(), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert not torch.allclose(first[0], first[1])
    assert first.min() >= -MEAN / STD - 1e-5
    assert first.max() <= (1 - MEAN) / STD + 1e-5


def test_erasing_sets_one_rectangle_to_the_mean(faces: Dataset):
    images = faces["train"].images[:32]
    erase = Augmentation(False, 0, 0, 0, 0, 0, erase=1.0, erase_area=0.15)
    changed = augment(images, erase, torch.Generator().manual_seed(0))
    touched = (changed - normalize(images)).abs().flatten(1).gt(1e-3).float().mean(1)
    assert touched.min() > 0.005
    assert touched.max() <= 0.16
