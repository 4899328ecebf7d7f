"""One item of a queue: its recipe, its teachers, its folder."""

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lightfer._files import atomic_path, file_name, sha256_of
from lightfer.data.dataset import Dataset
from lightfer.measure.energy import Meter
from lightfer.models.registry import find_weights
from lightfer.models.weights import Card
from lightfer.train.job import run_job
from lightfer.train.loop import OnBatch, OnEpoch
from lightfer.train.sweep.items import Item


def weights_of(item: Item, folder: Path) -> Path:
    """The file that exists when the item is finished."""
    return folder / item.name / f"{file_name(item.model)}.safetensors"


def check_items(items: Sequence[Item], folder: Path) -> None:
    """That every item can begin, before the first one does; weight files that are named as teachers
    are copied to `folder`, so that they travel with it.

    Raises ValueError, or CheckpointError for a teacher, that says which item and what to change.
    """
    names = {item.name for item in items}
    for item in items:
        try:
            item.config()
        except ValueError as error:
            raise ValueError(f"{item.name}: {error}") from error
        for teacher in set(item.teachers) - names:
            _keep(teacher, folder)
        if item.soft_labels:
            _keep(item.soft_labels, folder)


def train_item(
    item: Item,
    items: Sequence[Item],
    data: Dataset,
    folder: Path,
    *,
    device: str = "cpu",
    meters: Sequence[Meter] = (),
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> Card:
    """Train `item` in `folder`/NAME, from where it stopped; its teachers are other `items` that are
    finished, or stand in `folder`/teachers, or have shipped weights.
    """
    known = {other.name: weights_of(other, folder) for other in items}
    sources = tuple(str(known.get(name) or _kept(name, folder)) for name in item.teachers)
    labels = str(_kept(item.soft_labels, folder)) if item.soft_labels else None
    job = msgspec.structs.replace(item, teachers=sources, soft_labels=labels)
    _, card = run_job(
        job,
        data,
        folder / item.name,
        device=device,
        meters=meters,
        on_batch=on_batch,
        on_epoch=on_epoch,
    )
    return card


def _kept(teacher: str, folder: Path) -> str | Path:
    if not teacher.endswith(".safetensors"):
        return teacher
    source = Path(teacher)
    # Files of one name are common: each fold of a network has one. Their paths tell them apart.
    copy = folder / "teachers" / f"{zlib.crc32(teacher.encode()):08x}-{source.name}"
    older = folder / "teachers" / source.name  # as lightfer 0.1 named it
    return older if older.exists() and not copy.exists() else copy


def _keep(teacher: str, folder: Path) -> None:
    """Raises ValueError if it is not there, or is another one than was kept."""
    copy = _kept(teacher, folder)
    if isinstance(copy, str):
        find_weights(teacher, needed=True)
        return
    source = Path(teacher)
    if copy.exists():
        if source.exists() and sha256_of(source) != sha256_of(copy):
            raise ValueError(f"{source} has changed since {copy} was made of it: name another file")
        return
    if not source.exists():
        raise ValueError(f"{source}: no such weight file, nor an item of this name")
    with atomic_path(copy) as temporary:
        shutil.copyfile(source, temporary)
