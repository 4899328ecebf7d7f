"""Distillation: a student learns from the labels and from what trained networks say of an image.

    loss = (1 - weight) * cross-entropy(labels) + weight * T^2 * KL(teachers / T || student / T)

Hinton et al., 2015, https://arxiv.org/abs/1503.02531. The teachers are asked in one of two ways:
  - `Teachers`: on the student's own augmented view, in every batch (Beyer et al., 2022,
    https://arxiv.org/abs/2106.05237);
  - `lightfer.train.soft_labels`: once, on the plain image and its mirror image, kept in a file.

A teacher trained without a fold of the train split scores the images of that fold only, so that it
never repeats what it memorised; one trained on the whole split scores every image. Several teachers
of one image are averaged as probabilities. Test images are never read.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import kl_div

from lightfer.data.augment import Share, check
from lightfer.data.dataset import Split
from lightfer.data.folds import Fold, in_fold
from lightfer.errors import ArgumentError
from lightfer.measure.accuracy import check_scored
from lightfer.models.find import find_weights, own_source
from lightfer.models.weights import Card, load_checkpoint, sha256_of_tensors
from lightfer.train.config import Precision, TrainConfig
from lightfer.train.loss import Batch, label_loss

COLDEST, HOTTEST = 1e-3, 1000  # between which float32 can tell softened answers apart


@dataclass(frozen=True)
class Distillation:
    """How much the teachers count; chosen on validation, see docs/distillation.md."""

    temperature: Annotated[float, Meta(ge=COLDEST, le=HOTTEST)] = 4.0  # softens both distributions
    weight: Share = 0.9  # of the teachers; the labels have the rest

    def __post_init__(self) -> None:
        check(self)


def distillation(temperature: float | None, weight: float | None) -> Distillation:
    """With the default for what is None."""
    given = {"temperature": temperature, "weight": weight}
    return Distillation(**{name: value for name, value in given.items() if value is not None})


def distillation_loss(
    logits: Tensor,
    own: Tensor,
    targets: Tensor,
    config: Distillation,
) -> Tensor:
    """Logits (N, classes), the mean loss `own` with the labels, the teachers' probabilities at
    `config.temperature` (N, classes) -> the mean loss, a scalar.
    """
    softened = (logits / config.temperature).log_softmax(1)
    divergence = kl_div(softened, targets, reduction="batchmean") * config.temperature**2
    return (1 - config.weight) * own + config.weight * divergence


class Targets(Protocol):
    """What the teachers say of a batch."""

    def __call__(self, batch: Batch, temperature: float) -> Tensor:
        """Their mean probabilities (N, classes) at `temperature`."""
        ...

    def describe(self) -> dict[str, Any]:
        """For the student's card: `view` and `teachers`."""
        ...


@dataclass(frozen=True)
class Teacher:
    """A trained network, and what its file says of it."""

    network: nn.Module
    card: Card
    sha256: str  # of its tensors, whatever its card says; with the code of a net of your own

    @property
    def fold(self) -> Fold | None:
        """The part of the train split that it did not see; None: it saw all."""
        return Fold.parse(self.card.fold) if self.card.fold else None

    def describe(self) -> dict[str, Any]:
        """What a student's card says of it."""
        return {"model": self.card.model, "sha256": self.sha256, "fold": self.card.fold}


def load_teacher(source: str | Path, train_split: Split, device: str = "cpu") -> Teacher:
    """A weight file, or the name of a model with shipped weights.

    Raises CheckpointError if it cannot be read, ValueError if it was not trained on the images of
    `train_split` and nothing else: what it has seen would be unknown.
    """
    found = find_weights(source, needed=True)
    assert found.path is not None
    weights, card = load_checkpoint(found.path)
    check_scored(card, str(source))
    here, there = train_split.sha256(), card.data_sha256.get("train", "unknown")
    if card.trained_on != "train" or here != there:
        raise ArgumentError(
            f"{source} was trained on {card.trained_on} of other data (hash {there[:12]}, here "
            f"{here[:12]}): a teacher must have been trained on the train split that its student "
            "learns from"
        )
    sha256 = sha256_of_tensors(weights)
    if code := own_source(found.name):
        sha256 = hashlib.sha256(f"{sha256} {code}".encode()).hexdigest()
    return Teacher(found.build(device).requires_grad_(False), card, sha256)


def may_score(teachers: Sequence[Teacher], train_split: Split) -> Tensor:
    """Mask (teachers, N), bool: which images each teacher may score.

    Raises ValueError if an image has no teacher.
    """
    n = len(train_split)
    masks = [
        torch.ones(n, dtype=torch.bool) if t.fold is None else in_fold(train_split, t.fold)
        for t in teachers
    ]
    mask = torch.stack(masks)
    if unscored := int((~mask.any(0)).sum()):
        raise ArgumentError(
            f"{unscored:,} of {n:,} train images have no teacher that did not see them: give the "
            f"teachers of all folds (here: {', '.join(str(t.fold) for t in teachers)})"
        )
    return mask


class Teachers:
    """An ensemble that is asked on the student's own view of each image: `Targets`.

    In `precision` bfloat16 it computes as the student does, under autocast.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        train_split: Split,
        device: str,
        precision: Precision = "float32",
    ) -> None:
        self.teachers, self.precision = teachers, precision
        self.mask = may_score(teachers, train_split).to(device)
        self.classes = len(teachers[0].card.classes)  # all learned from this split

    def __call__(self, batch: Batch, temperature: float) -> Tensor:
        """See `Targets`. Raises ValueError where images of different folds are mixed."""
        return mean_of_softened(self.ask(batch), temperature)

    @torch.no_grad()
    def ask(self, batch: Batch) -> Tensor:
        """Logits (teachers, N, classes), float32; NaN where a teacher may not score an image."""
        shape = (len(self.teachers), len(batch.images), self.classes)
        logits = torch.full(shape, torch.nan, device=batch.images.device)
        for i, (teacher, mask) in enumerate(zip(self.teachers, self.mask, strict=True)):
            if teacher.fold is None:
                logits[i] = self._ask(teacher, batch.images).float()
                continue
            if batch.partners is not None:
                raise ArgumentError(
                    "mixup shows teachers of folds images that they were trained on: use the "
                    "soft labels of `lightfer teach`, or a recipe without mixup"
                )
            asked = mask[batch.indices].nonzero()[:, 0]
            if len(asked):
                logits[i, asked] = self._ask(teacher, batch.images[asked]).float()
        return logits

    def _ask(self, teacher: Teacher, images: Tensor) -> Tensor:
        half = self.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            return teacher.network(images)

    def describe(self) -> dict[str, Any]:
        """See `Targets`."""
        teachers = [teacher.describe() for teacher in self.teachers]
        about = {"view": "the student's augmented view", "teachers": teachers}
        return about if self.precision == "float32" else {**about, "precision": self.precision}


def mean_of_softened(logits: Tensor, temperature: float) -> Tensor:
    """Logits (teachers, N, classes), NaN where not asked -> mean probabilities (N, classes)."""
    return (logits / temperature).softmax(2).nanmean(0)


def load_teachers(
    sources: Sequence[str | Path],
    train_split: Split,
    device: str,
    precision: Precision = "float32",
) -> Teachers:
    """Raises as `load_teacher` and `may_score` do."""
    loaded = [load_teacher(source, train_split, device) for source in sources]
    return Teachers(loaded, train_split, device, precision)


def student_options(
    targets: Targets, amount: Distillation, train_split: Split, config: TrainConfig, device: str
) -> dict[str, Any]:
    """What `lightfer.train.job.train_to_file` needs to know of a student: `loss` and `about`."""
    own = label_loss(train_split.targets.to(device), config)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        asked = targets(batch, amount.temperature)
        return distillation_loss(logits, own(logits, batch), asked, amount)

    about = {"distillation": {**asdict(amount), **targets.describe()}}
    return {"loss": loss, "about": about}
