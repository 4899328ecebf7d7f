"""What a data set is: one uint8 tensor of grey faces and one label tensor per split."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the labels of `fer2013.csv`, which is not alphabetical: neutral is 6."""
IMAGE_SIZE = 48


class DataError(Exception):
    """A data file cannot be used; the message says which, where, and what to do."""


@dataclass(frozen=True)
class Split:
    """Images (N, 1, 48, 48), uint8, 0 black to 255 white; labels (N,), int64, 0 to 6."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.shape != (len(self.labels), 1, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"images have shape {tuple(self.images.shape)}, expected "
                f"({len(self.labels)}, 1, {IMAGE_SIZE}, {IMAGE_SIZE}) for {len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def sha256(self) -> str:
        """Hash of pixels and labels in order: equal for every file form of the same data."""
        digest = hashlib.sha256(self.images.contiguous().numpy().tobytes())
        digest.update(self.labels.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """The splits that were read, and where they came from."""

    name: Literal["fer2013", "synthetic"]
    source: str
    splits: dict[SplitName, Split]

    def __getitem__(self, split: SplitName) -> Split:
        if split not in self.splits:
            raise DataError(f"{self.source} has no {split} split, only {', '.join(self.splits)}")
        return self.splits[split]
