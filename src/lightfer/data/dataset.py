"""What a data set is: one uint8 tensor of grey faces and one label tensor per split."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lightfer.errors import LightferError, one_line

if TYPE_CHECKING:  # `lightfer bench` asks for the constants without torch, too
    from torch import Tensor

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the labels of `fer2013.csv`, which is not alphabetical: neutral is 6."""
WITH_CONTEMPT = (*CLASSES, "contempt")
"""The eight classes of AffectNet, CK+ and FER+; FER2013 lacks the last."""
IMAGE_SIZE = 48
"""Side of FER2013's images, and of what networks are shown where nothing else is asked for."""
LARGEST_SIZE = 224  # pixels a side, to train on and to score
MEAN, STD = 0.508, 0.255
"""Mean and standard deviation of the pixels of the FER2013 train split, of full scale."""

Verification = Literal["pixels and labels", "labels", "none"]
"""What of a data set equals the official FER2013 (see `official.py`)."""


class DataError(LightferError):
    """A data file cannot be used; the message says which, where, and what to do."""


@dataclass(frozen=True)
class Split:
    """Images (N, 1, S, S), uint8, 0 black to 255 white; labels (N,), int64, indices of the classes.

    `rows` (N,), int64, are the lines of the original `fer2013.csv`, from 0 without its header,
    where the files tell them or the content proves them; votes of FER+ are joined by them. `shares`
    (N, classes), float32, are how the votes on an image are spread, where that is what a network
    learns.
    """

    images: "Tensor"
    labels: "Tensor"
    rows: "Tensor | None" = None
    shares: "Tensor | None" = None

    def __post_init__(self) -> None:
        n, side = len(self.labels), self.images.shape[-1]
        if self.images.shape != (n, 1, side, side):
            raise ValueError(
                f"images have shape {tuple(self.images.shape)}, expected ({n}, 1, S, S), grey "
                f"squares, for {n} labels"
            )
        if self.rows is not None and self.rows.shape != self.labels.shape:
            raise ValueError(f"{len(self.rows)} rows for {len(self.labels)} labels")
        if self.shares is not None and len(self.shares) != n:
            raise ValueError(f"{len(self.shares)} rows of shares for {n} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, mask: "Tensor") -> "Split":
        """The images for which `mask` (N,), bool, is true."""
        rows = None if self.rows is None else self.rows[mask]
        shares = None if self.shares is None else self.shares[mask]
        return Split(self.images[mask], self.labels[mask], rows, shares)

    @property
    def targets(self) -> "Tensor":
        """What is learned of each image: its shares (N, classes) or its label (N,)."""
        return self.labels if self.shares is None else self.shares

    def sha256(self) -> str:
        """Hash of pixels and targets in order: equal for every file form of the same data."""
        digest = hashlib.sha256(self.images.contiguous().numpy().tobytes())
        digest.update(self.targets.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """The splits that were read, and where they came from.

    `name` is "fer2013" where every split has the official class counts; that alone proves
    little, so see `verified`. Of another set that is known (`sets.py`) it is that set's, whose
    title is `known_as` and whose labels mean what `mapping` says; "fer+" is FER2013 with FER+'s
    labels; others are "synthetic", "custom".
    `form` is that of the files; `unused` is what lies beside them. `named` is true where `source`
    is NAME:PATH, which a path may look like, too.
    """

    name: str
    source: str
    splits: dict[SplitName, Split]
    verification: Verification = "none"
    classes: tuple[str, ...] = CLASSES
    known_as: str | None = None
    mapping: Mapping[str, str] | None = None
    form: str = ""
    unused: tuple[str, ...] = ()
    named: bool = False

    @property
    def verified(self) -> bool:
        """Every split is known official content, pixels and labels."""
        return self.verification == "pixels and labels"

    @property
    def label(self) -> str:
        """What to print beside every number measured on this data."""
        if self.known_as:
            return self.known_as
        if self.name == "synthetic":
            return "synthetic faces"
        if self.name == "custom":
            return "unverified data"
        if self.name == "fer+":
            return "FER2013's images, FER+'s majority"
        return {
            "pixels and labels": "FER2013",
            "labels": "FER2013, labels verified, unverified pixels",
            "none": "unverified data (with FER2013's class counts)",
        }[self.verification]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return next(iter(self.splits.values())).images.shape[-1]

    @property
    def description(self) -> str:
        """What was read, on one line, and what lies beside it and was not."""
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        images = sum(map(len, self.splits.values()))
        splits = f"{len(self.splits)} split{'s' * (len(self.splits) > 1)}"
        parts = [self.label, *filter(None, [self.form]), splits, f"{images:,} images ({counts})"]
        also = f"; also found {', '.join(self.unused)}, not used" if self.unused else ""
        return one_line(", ".join(parts) + also)

    def sha256(self) -> str:
        """Hash over the names and contents of the splits that were read."""
        digest = hashlib.sha256()
        for split in SPLITS:
            if split in self.splits:
                digest.update(f"{split} {self.splits[split].sha256()}\n".encode())
        return digest.hexdigest()

    def __getitem__(self, split: SplitName) -> Split:
        if split not in self.splits:
            raise DataError(f"{self.source} has no {split} split, only {', '.join(self.splits)}")
        return self.splits[split]


def normalize(images: Any) -> Any:
    """uint8 (N, 1, H, W) -> float32 (N, 1, H, W), mean 0 and deviation 1 over the train split; of a
    tensor or an array.
    """
    pixels = images.astype(np.float32) if isinstance(images, np.ndarray) else images.float()
    return (pixels / 255 - MEAN) / STD


def join(pieces: Sequence[dict[SplitName, Split]]) -> dict[SplitName, Split]:
    """Concatenate the pieces of every split, in their order; rows only where all have them."""
    if len(pieces) == 1:
        return pieces[0]
    joined: dict[SplitName, Split] = {}
    for name in SPLITS:
        if found := [piece[name] for piece in pieces if name in piece]:
            joined[name] = concatenate(found)
    return joined


def concatenate(splits: Sequence[Split]) -> Split:
    """One split after the other; rows only where all have them."""
    import torch

    rows = [split.rows for split in splits if split.rows is not None]
    return Split(
        torch.cat([split.images for split in splits]),
        torch.cat([split.labels for split in splits]),
        torch.cat(rows) if len(rows) == len(splits) else None,
    )
