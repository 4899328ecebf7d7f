"""What is wrong with a data set: copies, contradictory labels, blank images, doubtful labels.

Copies are equal pixel by pixel. The JPEG folder therefore may count one or two differently.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightfer.data.copies import image_groups
from lightfer.data.dataset import DataError, Dataset, Split, SplitName
from lightfer.data.ferplus import Votes, agreement, majority_labels, rows_of
from lightfer.data.official import FIRST_ROW, class_counts, in_split

BLANK_DEVIATION = 2.0
"""Largest standard deviation of the pixels (of 0 to 255) of an image that counts as blank."""


@dataclass(frozen=True)
class FerPlusAudit:
    """How far FER+ agrees with the labels of a split; shares from 0 to 1."""

    named_images: int
    top_vote_agreement: float  # of the named images; the first choice of a tie counts
    majority_images: int  # that have a majority label, see `ferplus.majority_labels`
    majority_agreement: float | None


@dataclass(frozen=True)
class SplitAudit:
    """Counts of images in one split. None: the other split was not read, or no votes were given."""

    images: int
    class_counts: dict[str, int]
    repeated: int  # beyond the first of every group of equal images of this split
    equal_to_train: int | None
    equal_to_validation: int | None
    equal_to_test: int | None
    blank: int
    ferplus: FerPlusAudit | None


@dataclass(frozen=True)
class Audit:
    """`conflicting` groups are equal images, of any split, that do not all have one label."""

    name: str
    label: str
    sha256: str
    images: int
    distinct: int
    conflicting_groups: int
    conflicting_images: int
    blank: int
    splits: dict[SplitName, SplitAudit]
    mapping: dict[str, str] | None  # what the files of another data set call the classes


def audit(dataset: Dataset, votes: Votes | None = None) -> Audit:
    """Examine every split that was read. Raises DataError where votes cannot be joined."""
    groups = image_groups(dataset)
    ids = torch.cat(list(groups.values()))
    labels = torch.cat([dataset[name].labels for name in groups])
    conflicting = _conflicting(ids, labels)
    splits: dict[SplitName, SplitAudit] = {
        name: _audit_split(name, dataset, groups, votes) for name in groups
    }
    return Audit(
        name=dataset.name,
        label=dataset.label,
        sha256=dataset.sha256(),
        images=len(ids),
        distinct=int(ids.max()) + 1,
        conflicting_groups=len(conflicting),
        conflicting_images=int(torch.isin(ids, conflicting).sum()),
        blank=sum(split.blank for split in splits.values()),
        splits=splits,
        mapping=None if dataset.mapping is None else dict(dataset.mapping),
    )


def _conflicting(ids: Tensor, labels: Tensor) -> Tensor:
    """Numbers of the groups in which more than one label occurs."""
    pairs = torch.unique(torch.stack([ids, labels]), dim=1)
    group, count = torch.unique(pairs[0], return_counts=True)
    return group[count > 1]


def _audit_split(
    name: SplitName, dataset: Dataset, groups: dict[SplitName, Tensor], votes: Votes | None
) -> SplitAudit:
    split, own = dataset[name], groups[name]

    def equal_to(other: SplitName) -> int | None:
        if other == name or other not in groups:
            return None
        return int(torch.isin(own, groups[other]).sum())

    deviation = split.images.flatten(1).double().std(1, correction=0)
    return SplitAudit(
        images=len(split),
        class_counts=dict(
            zip(dataset.classes, class_counts(split.labels, len(dataset.classes)), strict=True)
        ),
        repeated=len(own) - len(own.unique()),
        equal_to_train=equal_to("train"),
        equal_to_validation=equal_to("validation"),
        equal_to_test=equal_to("test"),
        blank=int((deviation <= BLANK_DEVIATION).sum()),
        ferplus=None if votes is None else _audit_votes(name, split, votes),
    )


def _audit_votes(name: SplitName, split: Split, votes: Votes) -> FerPlusAudit:
    if not in_split(name, rows_of(split)):
        raise DataError(
            f"FER+ cannot be joined: images of the {name} split have numbers that are no lines of "
            f"it in fer2013.csv, where it begins with line {FIRST_ROW[name]}, the first of all "
            "being 0. Number the images, or the column row, by these lines"
        )
    labels, mask = majority_labels(split, votes)
    equal = (labels == split.labels)[mask].float()
    return FerPlusAudit(
        named_images=int(votes.named[split.rows].sum()),
        top_vote_agreement=agreement(split, votes),
        majority_images=int(mask.sum()),
        majority_agreement=equal.mean().item() if len(equal) else None,
    )
