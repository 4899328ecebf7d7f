"""The list of a queue: a TOML file, one `[[item]]` per training.

[[item]]
model = "mobilenet_v1"
folds = 5                          # cross-fitting: one training for each fold, without it
name = "teacher"

[[item]]
model = "shufflenet_v2_x1_0"
value = 2.0                        # higher first; teachers come before their students
seed = 1
teachers = ["teacher", "shiftnet_b"]   # items, models with shipped weights, or weight files
settings = { epochs = 8 }          # what differs from the recipe
"""

import re
from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import msgspec
from msgspec import Struct

from lightfer._files import file_name, read_text
from lightfer.data.folds import Fold
from lightfer.errors import ArgumentError
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
    groups: dict[str, tuple[str, ...]] = {}
    for line in lines:
        expanded = _expand(line)
        groups[line.name or expanded[0].name] = tuple(item.name for item in expanded)
        items += expanded
    items = [_with_groups(item, groups) for item in items]
    _check(path, items)
    return tuple(items)


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


def _expand(line: _Line) -> list[Item]:
    fields = {name: getattr(line, name) for name in Item.__struct_fields__}
    name = line.name or f"{file_name(line.model)}-seed{line.seed}"
    if line.folds is None:
        return [Item(**{**fields, "name": name})]
    folds = [Fold(i, line.folds) for i in range(line.folds)]
    return [
        Item(**{**fields, "name": f"{name}-fold{fold.index}", "fold": str(fold)}) for fold in folds
    ]


def _with_groups(item: Item, groups: dict[str, tuple[str, ...]]) -> Item:
    teachers = [name for teacher in item.teachers for name in groups.get(teacher, (teacher,))]
    return msgspec.structs.replace(item, teachers=tuple(teachers))


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
