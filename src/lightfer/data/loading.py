"""From a path, whatever form its files have, to a data set in memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import torch

from lightfer._files import cache_folder, in_home
from lightfer.data.cache import Recognised, cached
from lightfer.data.dataset import (
    CLASSES,
    IMAGE_SIZE,
    LARGEST_SIZE,
    SPLITS,
    WITH_CONTEMPT,
    DataError,
    Dataset,
    Split,
    SplitName,
    Verification,
)
from lightfer.data.forms import FORMS, Part, find_parts, unused
from lightfer.data.images import resized_split
from lightfer.data.members import Member, open_members
from lightfer.data.official import class_counts, has_official_counts, recognise
from lightfer.data.sets import NAMES, SETS
from lightfer.data.synthetic import synthetic_faces

ENTRY_POINTS = "lightfer.data"
FETCHED = "fetched.txt"
"""File in the cache that names what `lightfer data fetch` downloaded."""


def find(explicit: str | Path | None = None) -> str | None:
    """Where the data is: `explicit` (--data), else LIGHTFER_DATA, else what `data fetch` left.

    None where nothing is known; that an explicit path exists is checked by `load`.
    """
    if explicit is not None:
        return str(explicit)
    if from_environment := os.environ.get("LIGHTFER_DATA"):
        return from_environment
    try:
        fetched = os.fsdecode((cache_folder() / FETCHED).read_bytes()).strip()
    except OSError:
        return None
    return fetched if fetched and "\0" not in fetched and Path(fetched).exists() else None


def load(
    source: str | Path, splits: Sequence[SplitName] | None = SPLITS, size: int = IMAGE_SIZE
) -> Dataset:
    """Read `splits` of `source`: "synthetic", a file, folder or archive of any form of FER2013, or
    `NAME:PATH` of another data set (`sets.py`) or of a form that an installed package names in its
    entry points `lightfer.data`. Images get `size` pixels a side.

    Only the files of the wanted splits have to exist; None takes those that do. Raises DataError.
    """
    _check_size(size)
    if not isinstance(source, str | Path):
        raise DataError(f"source is {source!r}, expected a path, NAME:PATH or 'synthetic'")
    if source == "synthetic":
        faces = synthetic_faces()
        wanted = {name: faces[name] for name in splits or SPLITS}
        return _resized(replace(faces, splits=wanted), size)
    form, _, rest = str(source).partition(":")
    if rest and form in NAMES:
        return _other(form, in_home(rest), splits, size)
    if rest and form in (points := entry_points(group=ENTRY_POINTS)).names:
        return _resized(_own(form, points[form].load, in_home(rest), splits), size)
    return _files(in_home(source), splits, size)


def _files(path: Path, splits: Sequence[SplitName] | None, size: int) -> Dataset:
    """FER2013, or data in a form of it, from a file, folder or archive."""
    with open_members(path) as members:
        parts = find_parts(members, str(path))
        zips = [member.file for member in members if member.suffix == ".zip"]
        if not parts and len(zips) == 1 and path.is_dir():
            return _files(Path(zips[0]), splits, size)
        if not parts:
            raise _nothing_found(path, members)
        read = _read(parts, splits or SPLITS, IMAGE_SIZE)  # at which its content is recognised
        if size != IMAGE_SIZE:
            larger = _read(parts, splits or SPLITS, size)
            for name, (split, verification) in read.items():
                read[name] = replace(split, images=larger[name][0].images), verification
        beside = unused(members, parts)
    wanted = _wanted(read, splits, path, parts)
    official = [has_official_counts(name, split) for name, split in wanted.items()]
    proven: list[Verification] = [read[name][1] for name in wanted]
    weakest = max(proven, key=get_args(Verification).index)
    name = "fer2013" if all(official) else "custom"
    form = FORMS[parts[0].form]
    return Dataset(name, str(path), wanted, weakest, form=form, unused=beside)


def at_size(data: Dataset, size: int) -> Dataset:
    """`data` with images of `size` pixels a side: read again where there are files of pictures,
    which may be larger than what was made of them, else resized.
    """
    if data.size == size:
        return data
    _check_size(size)
    if data.named:
        return load(data.source, tuple(data.splits), size)
    if data.form:
        return _files(Path(data.source), tuple(data.splits), size)
    return _resized(data, size)


def _resized(data: Dataset, size: int) -> Dataset:
    splits = {name: resized_split(split, size) for name, split in data.splits.items()}
    return replace(data, splits=splits)


def _check_size(size: int) -> None:
    if not isinstance(size, int) or not 1 <= size <= LARGEST_SIZE:
        raise DataError(f"size is {size!r}, expected 1 to {LARGEST_SIZE} pixels a side")


def _wanted(
    read: Recognised, splits: Sequence[SplitName] | None, path: Path, parts: Sequence[Part]
) -> dict[SplitName, Split]:
    """The splits that are asked for, of what was read. Raises DataError where one is missing."""
    wanted: list[SplitName] = [s for s in SPLITS if s in (read if splits is None else splits)]
    filled = {split for split in read if len(read[split][0])}
    asked = set(splits or SPLITS)
    unread = {split for part in parts if asked.isdisjoint(part.splits) for split in part.splits}
    there = [split for split in SPLITS if split in filled | unread]
    for split in wanted if there else ():
        if split not in filled:
            raise DataError(
                f"{path}: no {split} split, only {', '.join(there)}. "
                "Add its images, or pass data that has it"
            )
    if not wanted or not there:
        raise DataError(f"{path}: no images. Get the file again")
    return {split: read[split][0] for split in wanted}


def _other(name: str, path: Path, splits: Sequence[SplitName] | None, size: int) -> Dataset:
    """A data set of `sets.py`; with an 8 behind its name contempt stays, else it is left out."""
    known, eight = SETS[name.removesuffix("8")], name.endswith("8")
    classes = WITH_CONTEMPT if eight else CLASSES
    with open_members(path) as members:
        parts = known.parts(members, str(path))
        read = _read(parts, splits or SPLITS, size)
    for split, (found, verification) in read.items():
        read[split] = found.where(found.labels < len(classes)), verification
    wanted = _wanted(read, splits, path, parts)
    found = _counts({split: of for split, (of, _) in read.items()}, len(classes))
    official = {split: known.counts[split][: len(classes)] for split in found}
    title = known.title + (", 8 classes" if eight else "")
    if found != official:
        images, expected = (sum(map(sum, counts.values())) for counts in (found, official))
        title += f" (not its official class counts: {images:,} images for {expected:,})"
    mapping = {
        said: of if of and of in classes else "left out" for said, of in known.mapping.items()
    }
    return Dataset(
        name,
        f"{name}:{path}",
        wanted,
        classes=classes,
        known_as=title,
        mapping=mapping,
        named=True,
    )


def _counts(splits: dict[SplitName, Split], classes: int) -> dict[SplitName, tuple[int, ...]]:
    """Images of each class; validation, which was held out of train, is counted there."""
    counts: dict[SplitName, tuple[int, ...]] = {
        name: class_counts(split.labels, classes) for name, split in splits.items()
    }
    if held_out := counts.pop("validation", None):
        train = counts.get("train", (0,) * classes)
        counts["train"] = tuple(map(sum, zip(train, held_out, strict=True)))
    return counts


def _own(
    form: str, import_reader: Callable[[], Any], path: Path, splits: Sequence[SplitName] | None
) -> Dataset:
    """What another package's reader, a function from a path to a `Dataset`, makes of `path`.

    What it holds is not known here, so it is labelled as unverified whatever the reader says.
    """
    try:
        found = import_reader()(path)
    except DataError:
        raise
    except (ImportError, AttributeError) as error:
        raise DataError(f"the reader of {form} data cannot be imported: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as {form} data: {error!r}") from error
    if not isinstance(found, Dataset):
        kind = type(found).__name__
        raise DataError(f"the reader of {form} data gave {kind}, expected a lightfer.data.Dataset")
    source, classes = f"{form}:{path}", tuple(found.classes)
    if classes not in (CLASSES, WITH_CONTEMPT):
        raise DataError(
            f"{source}: its classes are {classes!r:.200}, expected lightfer.data's CLASSES, "
            f"{', '.join(CLASSES)}, or WITH_CONTEMPT, which adds contempt. Order the labels so"
        )
    asked = found.splits if splits is None else splits
    wanted: dict[SplitName, Split] = {name: found[name] for name in SPLITS if name in asked}
    if not wanted:
        raise DataError(f"{source}: no split, expected some of {', '.join(SPLITS)}")
    for name, split in wanted.items():
        if wrong := _wrong(split, classes):
            raise DataError(f"{source}: the {name} split has {wrong}. Correct its reader")
    return Dataset("custom", source, wanted, classes=classes, named=True)


def _wrong(split: Any, classes: Sequence[str]) -> str | None:
    """What of another package's split is not as `Split` says; None: nothing."""
    if not isinstance(split, Split):
        return f"{type(split).__name__}, expected a lightfer.data.Split"
    for what, kind in (("images", torch.uint8), ("labels", torch.int64), ("shares", torch.float32)):
        values = getattr(split, what)
        found = values.dtype if isinstance(values, torch.Tensor) else type(values).__name__
        if values is not None and found != kind:
            return f"{what} of type {found}, expected a tensor of {kind}"
    shapes = tuple(split.labels.shape), tuple(split.images.shape)
    if len(shapes[0]) != 1 or 0 in shapes[1]:
        return f"labels {shapes[0]} of images {shapes[1]}, expected (N,) of (N, 1, S, S)"
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= len(classes):
        return f"labels {low} to {high}, expected 0 to {len(classes) - 1} for {', '.join(classes)}"
    if split.shares is not None and split.shares.shape != (len(split), len(classes)):
        return f"shares of shape {tuple(split.shares.shape)}, expected {(len(split), len(classes))}"
    return None


def _read(parts: Sequence[Part], splits: Sequence[SplitName], size: int) -> Recognised:
    read: Recognised = {}
    asked_first = sorted(parts, key=lambda part: set(part.splits).isdisjoint(splits))
    for part in asked_first:
        # A table's column Usage may tell of other splits than the file's name.
        if set(part.splits) & set(splits) or set(splits) - read.keys():
            found = cached(part, size, _read_part)
            for split in found.keys() & read.keys():
                raise DataError(
                    f"{part.members[0].where}: by its column Usage it holds the {split} split, "
                    "which another file holds, too. Correct the column, or pass one of the files"
                )
            read |= found
    return read


def _read_part(part: Part, size: int) -> Recognised:
    return {name: recognise(name, split) for name, split in part.read(size).items()}


def _nothing_found(path: Path, members: Sequence[Member]) -> DataError:
    return DataError(
        f"{path}: no data found among {len(members):,} files, expected fer2013.csv, "
        "icml_face_data.csv, Parquet files, or images as train/happy/1.png. "
        "Check the path; unpack archives other than zip and tar first"
    )
