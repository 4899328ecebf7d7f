"""Parts of the train split for cross-fitting: a network trained without a part has not seen it.

Images that are equal, or equal after mirroring, are always in the same part. Crops of one another
do not count.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from lightfer.data.copies import unflipped
from lightfer.data.dataset import Split
from lightfer.errors import ArgumentError

MOST = 1000  # folds; each is a training


@dataclass(frozen=True)
class Fold:
    """Part `index` (from 0) of `of` parts."""

    index: int
    of: int

    def __post_init__(self) -> None:
        if not (2 <= self.of <= MOST and 0 <= self.index < self.of):
            raise ArgumentError(
                f"fold {self.index}/{self.of} does not exist: expected I/K with K from 2 to "
                f"{MOST}, and I from 0 to K - 1, as 0/5"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """From "0/5". Raises ValueError if `text` is nothing of that kind."""
        if not re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", text):
            raise ArgumentError(f"{text!r} is no fold: expected I/K, as 0/5")
        index, _, of = text.partition("/")
        return cls(int(index), int(of))


def fold_numbers(split: Split, folds: int) -> Tensor:
    """The fold (0 to `folds` - 1) of every image (N,), int64.

    Groups of equal images are dealt out in the order of their first image, one to each fold in
    turn: every fold has its share of each class, even in data that is sorted by class.
    """
    groups: dict[bytes, int] = {}
    numbers = [groups.setdefault(image, len(groups)) for image in unflipped(split)]
    return torch.tensor(numbers) % folds


def in_fold(split: Split, fold: Fold) -> Tensor:
    """Mask (N,), bool: the images of `fold`. Raises ValueError if it is empty."""
    mask = fold_numbers(split, fold.of) == fold.index
    if not mask.any():
        raise ArgumentError(f"fold {fold} of {len(split)} images is empty: use fewer folds")
    return mask


def without_fold(split: Split, fold: Fold) -> Split:
    """The images that a teacher of `fold` is trained on."""
    return split.where(~in_fold(split, fold))
