"""Audit, subsets and FER+; oracle: the figures known of the real data, and faces copied here."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightfer.data import DataError, Dataset, Split
from lightfer.data.audit import FerPlusAudit, audit
from lightfer.data.ferplus import FILE_NAME, Votes, read_votes
from lightfer.data.official import ROWS
from lightfer.data.subsets import kaggle_test, trained_without_copies, without_copies


def test_copies_and_contradictions_are_counted(faces: Dataset):
    """Test gets one train image with its label, one with another, one validation image, a blank."""
    train, validation, test = (faces[name] for name in ("train", "validation", "test"))
    images, labels = test.images.clone(), test.labels.clone()
    images[:4] = torch.stack([train.images[0], train.images[1], validation.images[0], images[0]])
    images[3] = 77
    images[3, 0, 0, 0] = 78
    labels[0], labels[1] = train.labels[0], (train.labels[1] + 1) % 7
    labels[2] = validation.labels[0]
    data = replace(faces, splits={**faces.splits, "test": Split(images, labels)})
    found = audit(data)
    assert (found.images, found.distinct, found.blank) == (192, 189, 1)
    assert (found.conflicting_groups, found.conflicting_images) == (1, 2)
    split = found.splits["test"]
    assert (split.equal_to_train, split.equal_to_validation, split.equal_to_test) == (2, 1, None)
    assert sum(split.class_counts.values()) == split.images == 48
    assert without_copies(data).tolist() == [False] * 3 + [True] * 45
    assert split.ferplus is None


def test_training_without_copies_leaves_out_mirror_images_too(faces: Dataset):
    train, validation, test = (faces[name] for name in ("train", "validation", "test"))
    images = train.images.clone()
    images[1], images[2], images[5] = validation.images[0], test.images[0].flip(2), images[4]
    data = replace(faces, splits={**faces.splits, "train": replace(train, images=images)})
    left = trained_without_copies(data)
    kept = torch.tensor([0, *range(3, len(train))])
    assert torch.equal(left["train"].images, images[kept])
    assert torch.equal(left["train"].labels, train.labels[kept])
    assert left["test"] is test
    with pytest.raises(DataError, match="test"):
        trained_without_copies(replace(data, splits={"train": train, "validation": validation}))


def test_a_split_that_was_not_read_is_unknown_not_zero(faces: Dataset):
    found = audit(replace(faces, splits={"test": faces["test"]}))
    assert found.splits["test"].equal_to_train is None


def test_kaggles_test_folder_is_validation_then_test(faces: Dataset):
    both = kaggle_test(faces)
    assert torch.equal(both.images[:48], faces["validation"].images)
    assert torch.equal(both.labels[48:], faces["test"].labels)


def test_the_real_data_have_the_known_faults(real: Dataset):
    found = audit(real)
    train, validation, test = (found.splits[n] for n in ("train", "validation", "test"))
    assert found.distinct == 34_033
    assert (test.equal_to_train, validation.equal_to_train) == (288, 280)
    assert test.equal_to_validation == 44
    assert (found.blank, train.blank, validation.blank) == (13, 12, 1)
    assert (found.conflicting_groups, found.conflicting_images) == (58, 162)
    assert (train.repeated, validation.repeated, test.repeated) == (1237, 26, 17)
    assert int(without_copies(real).sum()) == 3589 - 314
    assert len(kaggle_test(real)) == 7178
    assert len(trained_without_copies(real)["train"]) == 28_006


def test_ferplus_agrees_with_the_real_labels_as_known(real: Dataset, fer2013_dir: Path):
    if not (fer2013_dir / FILE_NAME).exists():
        pytest.skip(f"no {FILE_NAME} beside the real data")
    splits = audit(real, read_votes(fer2013_dir / FILE_NAME)).splits
    found = [split.ferplus for split in splits.values() if split.ferplus]
    assert [round(votes.top_vote_agreement * 100, 2) for votes in found] == [62.68, 62.28, 62.45]
    assert [votes.named_images for votes in found] == [28_561, 3_579, 3_574]
    assert [votes.majority_images for votes in found] == [24_941, 3_186, 3_137]


def test_votes_are_not_joined_to_lines_of_another_split(faces: Dataset):
    """Numbers from 0 in each split are lines of train: an image had another one's votes."""
    votes = Votes(torch.ones(ROWS, 10, dtype=torch.int64), torch.ones(ROWS, dtype=torch.bool))

    def audited(first: int) -> FerPlusAudit | None:
        split = replace(faces["validation"], rows=torch.arange(first, first + 48))
        data = replace(faces, splits={"validation": split})
        return audit(data, votes).splits["validation"].ferplus

    for first in (0, 28_708, 32_298 - 47):
        with pytest.raises(DataError, match=r"no lines of it in fer2013\.csv.*with line 28709"):
            audited(first)
    for first in (28_709, 32_298 - 48):
        assert (found := audited(first)) is not None
        assert found.named_images == 48
