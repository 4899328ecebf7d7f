"""Folds: every image in one, twins in the same, no teacher's training set touches its fold."""

import pytest
import torch

from lightfer.data import Dataset, Split
from lightfer.data.folds import Fold, fold_numbers, in_fold, without_fold


def with_twins(faces: Dataset) -> Split:
    """Images 0 to 23 twice: 12 as they are, 12 mirrored; the twins have other labels."""
    split = faces["train"]
    images = torch.cat([split.images, split.images[:12], split.images[12:24].flip(3)])
    labels = torch.cat([split.labels, (split.labels[:24] + 1) % 7])
    return Split(images, labels, torch.arange(len(labels)))


def pixels(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in (*split.images, *split.images.flip(3))}


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_image_is_in_one_fold_and_its_twins_are_with_it(faces: Dataset, folds: int):
    split = with_twins(faces)
    masks = torch.stack([in_fold(split, Fold(i, folds)) for i in range(folds)])
    assert masks.sum(0).eq(1).all()
    numbers = fold_numbers(split, folds)
    n = len(faces["train"])
    assert torch.equal(numbers[n:], numbers[:24])
    assert numbers.bincount().tolist() == masks.sum(1).tolist()


@pytest.mark.parametrize("index", range(3))
def test_no_image_of_a_fold_nor_its_mirror_image_is_trained_on(faces: Dataset, index: int):
    split, fold = with_twins(faces), Fold(index, 3)
    seen, mask = without_fold(split, fold), in_fold(split, fold)
    assert len(seen) + int(mask.sum()) == len(split)
    assert not pixels(seen) & {image.numpy().tobytes() for image in split.images[mask]}
    assert seen.rows is not None
    assert torch.equal(split.images[seen.rows], seen.images)
    assert torch.equal(split.labels[seen.rows], seen.labels)


def test_sorted_data_gives_every_fold_its_share_of_each_class(faces: Dataset):
    order = faces["train"].labels.argsort()
    split = Split(faces["train"].images[order], faces["train"].labels[order])
    for i in range(3):
        counts = split.labels[in_fold(split, Fold(i, 3))].bincount(minlength=7)
        assert (counts - split.labels.bincount(minlength=7) / 3).abs().max() <= 1


@pytest.mark.parametrize(
    "text",
    ["5/5", "0/1", "x", "1", "-1/3", "1/3/2", "", f"0/{'9' * 5000}", "0/1001", "\u0660/\u0662"],
)
def test_what_is_no_fold(text: str):
    with pytest.raises(ValueError, match="fold"):
        Fold.parse(text)


def test_an_empty_fold(faces: Dataset):
    split = Split(faces["train"].images[:2], faces["train"].labels[:2])
    with pytest.raises(ValueError, match="fold 2/3 of 2 images is empty: use fewer"):
        in_fold(split, Fold(2, 3))
