"""The list of a queue, where its items lie in the queue's folder, and what they learn from.

docs/queue.md explains the list, a TOML file with one `[[item]]` per training.
"""

import re
import shutil
import zlib
from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lightfer._files import (
    atomic_path,
    check_input,
    file_name,
    read_bytes,
    read_json,
    read_text,
    sha256_of,
)
from lightfer.data.folds import Fold
from lightfer.errors import ArgumentError
from lightfer.models.find import find_weights
from lightfer.train.job import Job


class Item(Job, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One training of the list; its teachers may be other items, by name."""

    name: str = ""  # of its folder; default: MODEL-seedN
    value: float = 1.0


class _Line(Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand under `[[item]]`: an item, or one for every fold."""

    folds: int | None = None


class _List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    item: tuple[_Line, ...]


def read_list(path: Path) -> tuple[Item, ...]:
    """The items of a list, one per fold where a line has `folds`; teachers are names of items.

    Raises ValueError for what is not a list, a name that occurs twice, or teachers in a circle.
    """
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise ArgumentError(
            f"{path}: no such file; expected a list of [[item]]s in TOML"
        ) from error
    return items_in(text, path)


def items_in(text: str, path: Path) -> tuple[Item, ...]:
    """As `read_list`, from the content of the file."""
    try:
        lines = msgspec.toml.decode(text.removeprefix("\ufeff"), type=_List).item
    except (msgspec.DecodeError, RecursionError) as error:
        raise ArgumentError(f"{path}: {error}") from error
    items: list[Item] = []
    groups: dict[str, list[str]] = {}
    for line in lines:
        of_line = _expand(line)
        groups[line.name or of_line[0].name] = [item.name for item in of_line]
        items += of_line
    items = [
        replace(item, teachers=tuple(name for t in item.teachers for name in groups.get(t, (t,))))
        for item in items
    ]
    _check(path, items)
    return tuple(items)


def _expand(line: _Line) -> list[Item]:
    fields = {name: getattr(line, name) for name in Item.__struct_fields__}
    fields["name"] = name = line.name or f"{file_name(line.model)}-seed{line.seed}"
    if line.folds is None:
        return [Item(**fields)]
    folds = [Fold(i, line.folds) for i in range(max(1, line.folds))]
    return [replace(Item(**fields), name=f"{name}-fold{f.index}", fold=str(f)) for f in folds]


def _check(path: Path, items: Sequence[Item]) -> None:
    names = Counter(item.name for item in items)
    for item in items:
        if not re.fullmatch(r"[\w.,=-]+", item.name) or item.name in (".", "..", "teachers"):
            raise ArgumentError(f"{path}: {item.name!r} cannot be the name of an item's folder")
        if names[item.name] > 1:
            raise ArgumentError(f"{path}: two items are called {item.name}: give one a `name`")
        if item.fold:
            Fold.parse(item.fold)
    try:
        in_order(items)
    except CycleError as error:
        circle = ", ".join(dict.fromkeys(error.args[1]))
        raise ArgumentError(
            f"{path}: {circle} are each other's teachers: nothing to start"
        ) from error


def teachers_in(items: Sequence[Item]) -> dict[str, set[str]]:
    """Of each item those of its teachers that are items."""
    names = {item.name for item in items}
    return {item.name: names.intersection(item.teachers) for item in items}


def in_order(items: Sequence[Item]) -> list[Item]:
    """By value, the highest first, then as listed; a teacher has at least its students' value.

    Raises CycleError where items are each other's teachers.
    """
    teachers, value = teachers_in(items), {item.name: item.value for item in items}
    for student in reversed([*TopologicalSorter(teachers).static_order()]):
        for teacher in teachers[student]:
            value[teacher] = max(value[teacher], value[student])
    return sorted(items, key=lambda item: -value[item.name])


def weights_of(item: Item, folder: Path) -> Path:
    """The file that exists when the item is finished."""
    return folder / item.name / f"{file_name(item.network)}.safetensors"


def job_of(item: Item, items: Sequence[Item], folder: Path) -> Job:
    """The training of an item: its teachers are other `items` that are finished, or lie in
    `folder`/teachers, or have shipped weights.
    """
    known = {other.name: other for other in items}

    def place(teacher: str) -> str:
        if teacher not in known:
            return str(_kept(teacher, folder))
        model, weights = known[teacher].model, weights_of(known[teacher], folder)
        return f"{model}={weights}" if ":" in model else str(weights)

    labels = str(_kept(item.soft_labels, folder)) if item.soft_labels else None
    return replace(item, teachers=tuple(map(place, item.teachers)), soft_labels=labels)


def check_items(items: Sequence[Item], folder: Path) -> None:
    """That every item can begin, before the first one does; weight files that are named as teachers
    are copied to `folder`, so that they travel with it.

    Raises ValueError, or CheckpointError for a teacher, that says which item and what to change.
    """
    names, given = {item.name for item in items}, set()
    for item in items:
        try:
            item.config()
        except ValueError as error:
            raise ArgumentError(f"{item.name}: {error}") from error
        _same_item(item, folder)
        given |= {*item.teachers, item.soft_labels} - names - {None}
    for teacher in sorted(given):
        _keep(teacher, folder)


def _same_item(item: Item, folder: Path) -> None:
    """Raises ValueError if the item's folder was begun with another line of the list."""
    path = folder / item.name / "item.json"
    if not path.exists():
        return
    try:
        known = msgspec.convert(read_json(read_bytes(path)), Item)
    except (ValueError, RecursionError) as error:
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
    if not copy.exists() and not source.exists():
        raise ArgumentError(f"{source}: no such weight file, nor an item of this name")
    if not copy.exists():
        with atomic_path(copy) as temporary:
            shutil.copyfile(source, temporary)
    elif source.exists() and sha256_of(source) != sha256_of(copy):
        raise ArgumentError(f"{source} has changed since {copy} was made of it: name another file")
