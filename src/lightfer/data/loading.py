"""From a path, whatever form its files have, to a data set in memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lightfer._files import cache_folder
from lightfer.data.cache import Recognised, cached
from lightfer.data.dataset import SPLITS, DataError, Dataset, Split, SplitName, Verification
from lightfer.data.forms import Part, find_parts
from lightfer.data.members import Member, open_members
from lightfer.data.official import has_official_counts, recognise
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
        fetched = (cache_folder() / FETCHED).read_text().strip()
    except (OSError, UnicodeError):
        return None
    return fetched if fetched and Path(fetched).exists() else None


def load(source: str | Path, splits: Sequence[SplitName] | None = SPLITS) -> Dataset:
    """Read `splits` of `source`: "synthetic", or a file, folder or zip of any form of FER2013, or
    `NAME:PATH` of a form that an installed package names in its entry points `lightfer.data`.

    Only the files of the wanted splits have to exist; None takes those that do. Raises DataError.
    """
    if str(source) == "synthetic":
        faces = synthetic_faces()
        return replace(faces, splits={name: faces[name] for name in splits or SPLITS})
    form, _, rest = str(source).partition(":")
    if rest and form in (points := entry_points(group=ENTRY_POINTS)).names:
        return _own(form, points[form].load, Path(rest).expanduser(), splits)
    path = Path(source).expanduser()
    with open_members(path) as members:
        parts = find_parts(members, splits or (), str(path))
        zips = [member.file for member in members if member.suffix == ".zip"]
        if not parts and len(zips) == 1 and path.is_dir():
            return load(zips[0], splits)
        if not parts:
            raise _nothing_found(path, members)
        read = _read(parts, splits or SPLITS)
    wanted: list[SplitName] = [s for s in SPLITS if s in (read if splits is None else splits)]
    for split in wanted:
        if split not in read or len(read[split][0]) == 0:
            raise DataError(
                f"{path}: no {split} split, only {', '.join(read) or 'empty ones'}. "
                "Add its images, or pass data that has it"
            )
    if not wanted:
        raise DataError(f"{path}: no images. Get the file again")
    official = [_official(split, read[split][0], path) for split in wanted]
    name = "fer2013" if all(official) else "custom"
    verification = _weakest([read[split][1] for split in wanted])
    return Dataset(name, str(path), {split: read[split][0] for split in wanted}, verification)


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
    wanted: dict[SplitName, Split] = {}
    for name in found.splits if splits is None else splits:
        wanted[name] = found[name]
    return Dataset("custom", f"{form}:{path}", wanted)


def _read(parts: Sequence[Part], splits: Sequence[SplitName]) -> Recognised:
    read: Recognised = {}
    for part in parts:
        if set(part.splits) & set(splits):
            read |= cached(part, _read_part)
    return read


def _read_part(part: Part) -> Recognised:
    return {name: recognise(name, split) for name, split in part.read().items()}


def _official(name: SplitName, split: Split, path: Path) -> bool:
    try:
        return has_official_counts(name, split)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _nothing_found(path: Path, members: Sequence[Member]) -> DataError:
    return DataError(
        f"{path}: no data found among {len(members):,} files, expected fer2013.csv, "
        "icml_face_data.csv, Parquet files, or images as train/happy/1.png. "
        "Check the path; unpack archives other than zip and tar first"
    )


def _weakest(found: Sequence[Verification]) -> Verification:
    if "none" in found:
        return "none"
    return "labels" if "labels" in found else "pixels and labels"
