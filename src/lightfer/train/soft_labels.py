"""What teachers said of every train image, in a file: asked once, used by any number of students.

safetensors with one tensor, `logits`, float32 (teachers, 2, N, classes): of the plain image and of
its mirror image; NaN where a teacher may not score an image because it was trained on it. The
header names the train split by its hash, and the teachers by those of their weight files.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lightfer._files import atomic_path, check_input, is_stream, read_json
from lightfer.data.dataset import Split
from lightfer.errors import LightferError
from lightfer.measure.accuracy import predict_logits
from lightfer.models.contract import check_header
from lightfer.train.distill import Teacher, may_score
from lightfer.train.loss import Batch

HEADER_KEY = "lightfer_soft_labels"


class SoftLabelError(LightferError):
    """A file of soft labels cannot be used; the message says which, why, and what to do."""


_AGAIN = "make it again with `lightfer teach`"
VIEW = "image and mirror image, scored once"


class _Teacher(Struct):
    model: str
    sha256: str
    fold: str | None


class _Header(Struct):
    train_sha256: str
    teachers: list[_Teacher]
    crc32: int


class SoftLabels:
    """The logits (teachers, 2, N, classes) of a file: `lightfer.train.distill.Targets`."""

    def __init__(self, logits: Tensor, teachers: list[dict[str, Any]], device: str = "cpu") -> None:
        self.logits, self.teachers, self.device = logits, teachers, device
        self._table: tuple[float, Tensor] | None = None  # the last temperature's

    def __call__(self, batch: Batch, temperature: float) -> Tensor:
        """The images of the batch are not looked at; where they are mixed, so are the answers."""
        if self._table is None or self._table[0] != temperature:
            self._table = temperature, self.probabilities(temperature).to(self.device)
        return batch.of(self._table[1])

    def probabilities(self, temperature: float) -> Tensor:
        """(N, classes): the mean over the views, and the teachers that scored an image."""
        return (self.logits / temperature).softmax(3).mean(1).nanmean(0)

    def describe(self) -> dict[str, Any]:
        """See `lightfer.train.distill.Targets`."""
        return {"view": VIEW, "teachers": self.teachers}


def write_soft_labels(
    path: Path,
    teachers: Sequence[Teacher],
    train_split: Split,
    on_batch: Callable[[str, int, int], None] | None = None,
) -> SoftLabels:
    """Ask every teacher about the images that it may score, and write `path` after each teacher,
    a stream once at the end.

    A file of the same train split is continued: teachers that it holds are not asked again. Raises
    SoftLabelError if `path` holds something else, ValueError if an image has no teacher.
    """
    mask = may_score(teachers, train_split)
    train_sha256 = train_split.sha256()
    scored: dict[str, Tensor] = {}
    described: dict[str, dict[str, Any]] = {}
    stream = is_stream(path)
    if not stream and path.exists():
        known = _read(path, train_split)
        described = {teacher["sha256"]: teacher for teacher in known.teachers}
        scored = dict(zip(described, known.logits, strict=True))
    for i, teacher in enumerate(teachers):
        if teacher.sha256 not in scored:
            scored[teacher.sha256] = _ask(teacher, train_split, mask[i], on_batch)
            described[teacher.sha256] = teacher.describe()
            if not stream:  # which takes one file only
                _save(path, _of(scored, described), train_sha256)  # what was answered before, too
    asked = {teacher.sha256: teacher.describe() for teacher in teachers}
    labels = _of(scored, asked)
    _save(path, labels, train_sha256)
    return labels


def _of(scored: dict[str, Tensor], teachers: dict[str, dict[str, Any]]) -> SoftLabels:
    return SoftLabels(torch.stack([scored[sha256] for sha256 in teachers]), [*teachers.values()])


def read_soft_labels(path: Path, train_split: Split, device: str = "cpu") -> SoftLabels:
    """Read a file that `write_soft_labels` wrote for the images of `train_split`.

    Raises SoftLabelError if it is missing, damaged, unfinished or of other images.
    """
    labels = _read(path, train_split, device)
    answers = labels.logits.transpose(1, 2).flatten(2)  # (teachers, N, 2 * classes)
    answered, asked = answers.isfinite().all(2), ~answers.isnan().all(2)
    if broken := int((asked & ~answered).sum()):
        raise SoftLabelError(f"{path} has {broken:,} answers that are not finite numbers; {_AGAIN}")
    if missing := int((~answered.any(0)).sum()):
        folds = ", ".join(str(teacher["fold"]) for teacher in labels.teachers)
        raise SoftLabelError(
            f"{path} is unfinished: {missing:,} of {len(train_split):,} train images have no "
            f"answer (it holds teachers without the folds {folds}); go on with the same "
            "`lightfer teach`"
        )
    return labels


def _read(path: Path, train_split: Split, device: str = "cpu") -> SoftLabels:
    """As `read_soft_labels`, unfinished or not."""
    check_input(path)
    try:
        with safe_open(path, framework="pt") as file:
            check_header(path)
            header = read_json((file.metadata() or {})[HEADER_KEY])
            logits = file.get_tensor("logits")
        told = msgspec.convert(header, _Header)
    except FileNotFoundError as error:
        raise SoftLabelError(f"{path}: no such file; {_AGAIN}") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise SoftLabelError(
            f"{path} is no readable file of soft labels ({error}); {_AGAIN}"
        ) from error
    if told.crc32 != zlib.crc32(logits.numpy().tobytes()):
        raise SoftLabelError(f"{path} is damaged: its checksum is not that of its logits; {_AGAIN}")
    if logits.ndim != 4 or logits.shape[:2] != (len(told.teachers), 2):
        raise SoftLabelError(
            f"{path} has logits of shape {tuple(logits.shape)}, expected (teachers, 2, images, "
            f"classes) of {len(told.teachers)} teachers; {_AGAIN}"
        )
    if told.train_sha256 != train_split.sha256() or logits.shape[2] != len(train_split):
        raise SoftLabelError(
            f"{path} has soft labels for another train split (hash {told.train_sha256[:12]}, here "
            f"{train_split.sha256()[:12]}): give the data it was made for, or {_AGAIN} and the "
            "--size, --labels, --target or --without-copies of its students"
        )
    return SoftLabels(logits, header["teachers"], device)


def _ask(
    teacher: Teacher,
    split: Split,
    mask: Tensor,
    on_batch: Callable[[str, int, int], None] | None,
) -> Tensor:
    """Logits (2, N, classes), NaN outside of `mask` (N,)."""
    images = split.images[mask]
    both = []
    for i, view in enumerate((images, images.flip(3))):

        def progress(done: int, of: int, before: int = i * len(images)) -> None:
            if on_batch:
                on_batch(teacher.card.model, before + done, 2 * of)

        both.append(predict_logits(teacher.network, view, on_batch=progress))
    logits = torch.full((2, len(split), both[0].shape[1]), torch.nan)
    logits[:, mask] = torch.stack(both)
    return logits


def _save(path: Path, labels: SoftLabels, train_sha256: str) -> None:
    header = {
        "train_sha256": train_sha256,
        "teachers": labels.teachers,
        "view": VIEW,
        "crc32": zlib.crc32(labels.logits.numpy().tobytes()),
    }
    with atomic_path(path) as temporary:
        save_file({"logits": labels.logits}, temporary, metadata={HEADER_KEY: json.dumps(header)})
