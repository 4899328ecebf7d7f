"""The list of a queue, where its items lie in the queue's folder, and what they learn from.

docs/queue.md explains the list, a TOML file with one `[[item]]` per training.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from math import isfinite
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lightfer._files import file_name, read_bytes, read_json, read_text, write_bytes
from lightfer.data.folds import Fold
from lightfer.errors import ArgumentError
from lightfer.models.find import find_weights, own_and_file
from lightfer.train.job import Job

FIRST_DEFAULT = "first_light"  # of an item.json without a recipe: version 0.1 left defaults out


class Item(Job, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One training of the list; its teachers may be other items, by name."""

    name: str = ""  # of its folder; default: MODEL-seedN
    value: float = 1.0
    folds: int | None = None  # only in a list, where it stands for an item without each of them


class _List(msgspec.Struct, forbid_unknown_fields=True):
    item: tuple[Item, ...]


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
        raise ArgumentError(
            f"{path}: {error}; expected a list of [[item]]s in TOML, see docs/queue.md, or a pack "
            "(.zip)"
        ) from error
    items: list[Item] = []
    groups: dict[str, list[str]] = {}
    for line in lines:
        name = line.name or f"{file_name(line.model)}-seed{line.seed}"
        of_line = [replace(line, name=name)]
        if line.folds is not None:
            folds = [Fold(i, line.folds) for i in range(max(1, line.folds))]
            of_line = [
                replace(line, name=f"{name}-fold{fold.index}", fold=str(fold), folds=None)
                for fold in folds
            ]
        groups[name] = [item.name for item in of_line]
        items += of_line
    items = [
        replace(item, teachers=tuple(name for t in item.teachers for name in groups.get(t, [t])))
        for item in items
    ]
    _check(path, items)
    return tuple(items)


def _check(path: Path, items: Sequence[Item]) -> None:
    names = Counter(item.name for item in items)
    for item in items:
        if not re.fullmatch(r"(?!\.)[\w.,=-]+", item.name) or item.name == "teachers":
            raise ArgumentError(
                f"{path}: {item.name!r} cannot be the name of an item's folder: take letters, "
                "digits and any of . , = - _, no dot in front, and not teachers"
            )
        if names[item.name] > 1:
            raise ArgumentError(f"{path}: two items are called {item.name}: give one a `name`")
        if not isfinite(item.value):
            raise ArgumentError(
                f"{path}: {item.name}: value is {item.value}, expected a finite number"
            )
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
        if teacher in known:
            network, weights = known[teacher].network, weights_of(known[teacher], folder)
            return f"{network}={weights}" if ":" in network else str(weights)
        own, file = own_and_file(teacher)
        return f"{own}{_kept(file, folder)}" if file.endswith(".safetensors") else teacher

    labels = item.soft_labels and place(item.soft_labels)
    return replace(item, teachers=tuple(map(place, item.teachers)), soft_labels=labels)


def check_items(items: Sequence[Item], folder: Path) -> None:
    """That every item can begin, before the first one does; weight files that are named as teachers
    are copied to `folder`, so that they travel with it.

    Raises ValueError, or CheckpointError for a teacher, that says which item and what to change.
    """
    names, given = {item.name for item in items}, set()
    known = {path.parent.name for path in folder.glob("*/item.json")}
    begun = sorted(name for name in known if (folder / name / "history.jsonl").exists())
    if begun and not known & names:
        raise ArgumentError(
            f"{folder} holds {', '.join(begun)} of another list: add them to this one, delete "
            "their folders, or choose another --out"
        )
    for item in items:
        try:
            item.config()
        except ValueError as error:
            raise ArgumentError(f"{item.name}: {error}") from error
        _same_item(item, folder)
        given |= {*item.teachers, item.soft_labels} - names - {None}
    for item in items:
        _check_taught(item, [i for i in items if i.name in item.teachers])
    for teacher in sorted(given):
        if teacher.endswith(".safetensors"):
            _keep(own_and_file(teacher)[1], folder)
        else:
            find_weights(teacher, needed=True)


def _check_taught(item: Item, teachers: Sequence[Item]) -> None:
    """Raises ValueError where those of an item's teachers that are items can never teach it."""
    config = item.config()
    for teacher in teachers:
        fields = ("labels", "size", "copies")
        changed = [name for name in fields if getattr(item, name) != getattr(teacher, name)]
        targets = {config.target, teacher.config().target}
        if len(targets) > 1 and targets != {"drawn", "distribution"}:  # which share their split
            changed.append("target")
        if changed:
            raise ArgumentError(
                f"{item.name}: its teacher {teacher.name} has another {', '.join(changed)}, and is "
                "to learn from the same images and labels: give both the same"
            )
    folds = {teacher.fold: Fold.parse(teacher.fold) for teacher in teachers if teacher.fold}
    whole = len({*item.teachers}) > sum(teacher.fold is not None for teacher in teachers)
    if folds and not whole and sum(1 / fold.of for fold in folds.values()) < 0.999:
        raise ArgumentError(
            f"{item.name}: its teachers are those of the folds {', '.join(folds)}, and images of "
            "others have none: name the teachers of all folds"
        )
    if folds and not item.once and (config.mixup or config.cutmix):
        raise ArgumentError(
            f"{item.name}: mixed images are of two folds, and teachers of folds saw all but one: "
            "set once = true, or leave mixup and cutmix out"
        )


def _same_item(item: Item, folder: Path) -> None:
    """Raises ValueError if the item's folder was begun with another line of the list."""
    path = folder / item.name / "item.json"
    if not path.exists():
        return
    try:
        known = msgspec.convert({"recipe": FIRST_DEFAULT, **read_json(read_bytes(path))}, Item)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"{path} is damaged ({error}): delete its folder to begin the item anew"
        ) from error
    fields = [name for name in Item.__struct_fields__ if name != "value"]
    if changed := [name for name in fields if getattr(item, name) != getattr(known, name)]:
        by_default = changed == ["recipe"] and known.recipe == FIRST_DEFAULT
        change = (
            f'recipe = "{FIRST_DEFAULT}", the default of then: write it into the list'
            if by_default
            else f"another {', '.join(changed)}: give the changed item another name"
        )
        raise ArgumentError(f"{path.parent} was begun with {change}")


def is_odd(character: str) -> bool:
    """Whether a file whose name has it could not be unpacked on every system."""
    return character in '\\:*?"<>|' or not character.isprintable()


def _kept(teacher: str, folder: Path) -> Path:
    """Where the copy of a weight file is."""
    # Files of one name are common: each fold of a network has one. Their paths tell them apart.
    name = "".join("_" if is_odd(c) else c for c in Path(teacher).name)
    copy = folder / "teachers" / f"{zlib.crc32(teacher.encode()):08x}-{name}"
    older = folder / "teachers" / name  # as lightfer 0.1 named it
    return older if older.exists() and not copy.exists() else copy


def _keep(teacher: str, folder: Path) -> None:
    """Raises ValueError if it is not there, or is another one than was kept."""
    source, copy = Path(teacher), _kept(teacher, folder)
    if not source.exists():
        if not copy.exists():
            raise ArgumentError(f"{source}: no such weight file, nor an item of this name")
    elif not copy.exists():
        write_bytes(copy, read_bytes(source))
    elif read_bytes(source) != copy.read_bytes():
        raise ArgumentError(f"{source} has changed since {copy} was made of it: name another file")
