"""FER+: ten people's votes on every image of FER2013 (Barsoum et al., 2016, `fer2013new.csv`).

Votes belong to images by line: line n of the votes is row n of `fer2013.csv`. The number in
`Image name` is not the line; it drifts away from it, by 85 at the end.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lightfer._files import check_input, in_home
from lightfer.data.dataset import CLASSES, WITH_CONTEMPT, DataError, Dataset, Split, SplitName
from lightfer.data.members import reading
from lightfer.data.names import class_label, split_name
from lightfer.data.official import FIRST_ROW, ROWS

FILE_NAME = "fer2013new.csv"
CHOICES = (
    "neutral happiness surprise sadness anger disgust fear contempt unknown NF".split()  # noqa: SIM905
)
"""Columns of votes, in the order of the file; NF is "not a face"."""
_AS_CLASSES = "anger disgust fear happiness sadness surprise neutral".split()  # noqa: SIM905

Labels = Literal["fer2013", "ferplus", "ferplus8"]
"""What the images are labelled by: FER2013's own, or FER+'s votes without contempt or with it."""
Target = Literal["distribution", "drawn", "majority", "multi-target"]
"""What a network learns of the votes, the paper's four ways: their distribution by cross-entropy; a
class drawn by it in every epoch; the majority's class; any of the frequent classes."""


@dataclass(frozen=True)
class Votes:
    """`counts` (35887, 10), int64, in the order of CHOICES; `named` (35887,), bool.

    173 rows have no image name: FER+ left them out as not a face.
    """

    counts: Tensor
    named: Tensor

    def counts_of_classes(self) -> Tensor:
        """(35887, 10), int64, without single votes: FER2013's seven classes in its order, contempt,
        unknown, not a face.
        """
        order = [CHOICES.index(choice) for choice in (*_AS_CLASSES, *CHOICES[-3:])]
        return self.counts.where(self.counts > 1, 0)[:, order]

    def top(self) -> Tensor:
        """Choice with the most votes of every row (35887,), int64; the first one of a tie.

        As a FER2013 label, 0 to 6, or 7 for contempt, unknown and not a face.
        """
        labels = [class_label(choice) for choice in CHOICES]
        order = torch.tensor([len(CLASSES) if label is None else label for label in labels])
        most = self.counts == self.counts.max(1, keepdim=True).values
        return order[most.int().argmax(1)]


def read_votes(path: Path) -> Votes:
    """Read `fer2013new.csv`. Raises DataError."""
    where = str(path)
    check_input(path)
    try:
        with reading(where), path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeError, csv.Error) as error:
        raise _unusable(where, f"not readable as CSV ({error})") from error
    if header != ["Usage", "Image name", *CHOICES]:
        raise _unusable(f"{where}, line 1", f"columns {', '.join(header)[:200]!r}")
    if len(lines) != ROWS:
        raise _unusable(where, f"{len(lines):,} lines below the header")
    votes = []
    for row, fields in enumerate(lines):
        at = f"{where}, line {row + 2}"
        if len(fields) != len(header):
            raise _unusable(at, f"{len(fields)} columns")
        expected = [name for name, first in FIRST_ROW.items() if first <= row][-1]
        if split_name(fields[0]) != expected:
            raise _unusable(at, f"Usage {fields[0]!r:.40} instead of that of row {row}")
        if not all(vote.isascii() and vote.isdigit() and len(vote) < 4 for vote in fields[2:]):
            raise _unusable(at, f"votes {fields[2:]!r:.100}")
        votes.append([int(vote) for vote in fields[2:]])
    return Votes(torch.tensor(votes), torch.tensor([bool(fields[1]) for fields in lines]))


def votes_beside(data: Dataset) -> Votes | None:
    """The votes in a file beside the data, if there is one and the content proves the rows."""
    path = in_home(data.source)
    file = (path if path.is_dir() else path.parent) / FILE_NAME
    return read_votes(file) if data.verification != "none" and file.is_file() else None


def majority_labels(split: Split, votes: Votes, classes: int = 7) -> tuple[Tensor, Tensor]:
    """Labels (N,), int64, by FER+, and the mask (N,), bool, of the images that have one.

    The paper's rule: choices with a single vote are left out; the label is the choice with more
    than half of the other votes. An image has none where there is no such choice, where it is
    unknown or not-a-face (or contempt, unless `classes` is 8), or where FER+ gives no image name.
    Without a label the value is -1. Raises DataError for a split without rows.
    """
    rows = rows_of(split)
    counts = votes.counts_of_classes()[rows]
    most, label = counts.max(1)
    mask = votes.named[rows] & (2 * most > counts.sum(1)) & (label < classes)
    return label.masked_fill(~mask, -1), mask


def vote_shares(split: Split, votes: Votes, classes: int = 7) -> tuple[Tensor, Tensor]:
    """Shares of the votes (N, classes), float32, and the mask (N,), bool, of images that have them.

    The rule of the paper's "cross-entropy with the distribution": single votes are left out; of the
    rest the choices with the most votes are taken, equal ones together, up to three, until they
    have three quarters of the votes, or until unknown or not-a-face is among them, which is left
    out. An image has no shares if what was taken has half of the votes or less, or is more than
    three choices, or if contempt leads and `classes` is 7; else contempt alone is left out. Raises
    DataError for a split without rows.
    """
    rows = rows_of(split)
    counts = votes.counts_of_classes()[rows]
    faces, total = len(WITH_CONTEMPT), counts.sum(1)
    left, taken = counts.clone(), torch.zeros_like(counts)
    going = torch.ones(len(counts), dtype=torch.bool)
    for _ in range(3):
        going = going & (4 * taken.sum(1) < 3 * total) & ((taken > 0).sum(1) < 3)
        level = (left == left.max(1, keepdim=True).values) & (left > 0) & going[:, None]
        taken += left * level
        left = left.masked_fill(level, 0)
        going &= ~level[:, faces:].any(1)
    taken = taken[:, :faces]
    usable = (2 * taken.sum(1) > total) & ((taken > 0).sum(1) <= 3)
    mask = votes.named[rows] & usable & (taken.argmax(1) < classes)
    return _spread(taken[:, :classes]), mask


def frequent_shares(split: Split, votes: Votes, classes: int = 7) -> tuple[Tensor, Tensor]:
    """As `vote_shares`, by the rule of the paper's "multi-target": the choices that have three
    tenths of the votes or more, single ones left out; an image has none if together they have half
    of the votes or less, or if unknown, not-a-face (or contempt, if `classes` is 7) leads.
    """
    counts = votes.counts_of_classes()[rows_of(split)]
    total = counts.sum(1, keepdim=True)
    taken = counts.where(10 * counts >= 3 * total, 0)
    mask = votes.named[rows_of(split)] & (2 * taken.sum(1) > total[:, 0])
    return _spread(taken[:, :classes]), mask & (taken.argmax(1) < classes)


def _spread(counts: Tensor) -> Tensor:
    return counts.float() / counts.sum(1, keepdim=True).clamp(min=1)


def with_votes(data: Dataset, labels: Labels, target: Target = "distribution") -> Dataset:
    """FER2013 with FER+'s labels: `ferplus` of seven classes, `ferplus8` with contempt.

    The train split has what `target` needs, the shares of the votes or the majority's label, the
    others the majority's label; images without one are left out. Raises DataError where the votes
    are not beside the data.
    """
    classes = WITH_CONTEMPT if labels == "ferplus8" else CLASSES
    votes = votes_beside(data)
    if votes is None:
        raise DataError(
            f"labels {labels} need FER+'s {FILE_NAME} beside FER2013, in the form that tells each "
            f"image's line of fer2013.csv; found {data.label} at {data.source} without it. Get it "
            "from github.com/microsoft/FERPlus"
        )
    splits: dict[SplitName, Split] = {}
    for name, split in data.splits.items():
        if name == "train" and target != "majority":
            shares_of = frequent_shares if target == "multi-target" else vote_shares
            shares, mask = shares_of(split, votes, len(classes))
            splits[name] = replace(split, labels=shares.argmax(1), shares=shares).where(mask)
        else:
            label, mask = majority_labels(split, votes, len(classes))
            splits[name] = replace(split, labels=label).where(mask)
    return replace(data, name="fer+", splits=splits, classes=classes)


def as_learned(data: Dataset, labels: Labels) -> Dataset:
    """`data` with the `labels` that a network learned: FER2013's images with FER+'s majority if it
    learned FER+'s votes, any other data as they are. Raises as `with_votes`.
    """
    return data if labels == "fer2013" or data.name != "fer2013" else with_votes(data, labels)


def agreement(split: Split, votes: Votes) -> float:
    """Share of the named images whose label is the top vote, the first choice of a tie."""
    rows = rows_of(split)
    named = votes.named[rows]
    return (votes.top()[rows] == split.labels)[named].float().mean().item()


def vote_confusion(split: Split, votes: Votes) -> Tensor:
    """What people say of the images that are labelled i: (7, 7), float32, the share of their votes
    for class j, single votes, contempt, unknown and not-a-face left out, each row adding up to 1;
    zeros for a label without votes. Images that FER+ does not name are left out. Raises DataError
    for a split without rows.
    """
    rows = rows_of(split)
    counts = votes.counts_of_classes()[rows, : len(CLASSES)] * votes.named[rows, None]
    said = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    return _spread(said.index_add(0, split.labels, counts))


def rows_of(split: Split) -> Tensor:
    """Rows (N,) of the original CSV. Raises DataError where they are not known."""
    if split.rows is None or len(split) == 0 or int(split.rows.max()) >= ROWS:
        raise DataError(
            "FER+ cannot be joined: the data do not tell each image's line of fer2013.csv, and "
            "their content does not prove it. Use the original fer2013.csv or icml_face_data.csv, "
            "or Parquet with a column row"
        )
    return split.rows


def _unusable(where: str, found: str) -> DataError:
    return DataError(
        f"{where}: {found}, expected FER+'s {FILE_NAME} with {ROWS:,} lines of 'Usage,Image "
        f"name,{','.join(CHOICES)}'. Get it from github.com/microsoft/FERPlus"
    )
