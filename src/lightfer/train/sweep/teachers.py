"""Where the items of a queue lie in its folder, and what they learn from."""

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lightfer._files import atomic_path, check_input, check_keys, file_name, read_bytes, sha256_of
from lightfer.errors import ArgumentError
from lightfer.models.find import find_weights
from lightfer.train.job import Job
from lightfer.train.sweep.items import Item


def weights_of(item: Item, folder: Path) -> Path:
    """The file that exists when the item is finished."""
    return folder / item.name / f"{file_name(item.network)}.safetensors"


def check_items(items: Sequence[Item], folder: Path) -> None:
    """That every item can begin, before the first one does; weight files that are named as teachers
    are copied to `folder`, so that they travel with it.

    Raises ValueError, or CheckpointError for a teacher, that says which item and what to change.
    """
    names, kept = {item.name for item in items}, set()
    for item in items:
        try:
            item.config()
        except ValueError as error:
            raise ArgumentError(f"{item.name}: {error}") from error
        _same_item(item, folder)
        kept |= {*item.teachers, item.soft_labels} - names - {None}
    for source in sorted(kept):
        _keep(source, folder)


def job_of(item: Item, items: Sequence[Item], folder: Path) -> Job:
    """The training of an item: its teachers are other `items` that are finished, or lie in
    `folder`/teachers, or have shipped weights.
    """
    known = {other.name: other for other in items if other.name in item.teachers}
    trained = {name: weights_of(other, folder) for name, other in known.items()}
    own = {name: f"{other.model}=" for name, other in known.items() if ":" in other.model}
    teachers = tuple(
        f"{own.get(name, '')}{trained[name]}" if name in known else str(_kept(name, folder))
        for name in item.teachers
    )
    labels = str(_kept(item.soft_labels, folder)) if item.soft_labels else None
    return msgspec.structs.replace(item, teachers=teachers, soft_labels=labels)


def _same_item(item: Item, folder: Path) -> None:
    """Raises ValueError if the item's folder was begun with another line of the list."""
    path = folder / item.name / "item.json"
    if not path.exists():
        return
    try:
        text = read_bytes(path)
        check_keys(text)
        known = msgspec.json.decode(text, type=Item)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"{path} is damaged ({error}): delete its folder to begin the item anew"
        ) from error
    fields = [name for name in Item.__struct_fields__ if name != "value"]
    changed = [name for name in fields if getattr(item, name) != getattr(known, name)]
    if changed:
        raise ArgumentError(
            f"{path.parent} was begun with another {', '.join(changed)}: give the changed item "
            "another name"
        )


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
    check_input(source)
    if copy.exists():
        if source.exists() and sha256_of(source) != sha256_of(copy):
            raise ArgumentError(
                f"{source} has changed since {copy} was made of it: name another file"
            )
        return
    if not source.exists():
        raise ArgumentError(f"{source}: no such weight file, nor an item of this name")
    with atomic_path(copy) as temporary:
        shutil.copyfile(source, temporary)
