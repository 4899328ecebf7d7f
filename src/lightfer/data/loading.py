"""From a path, whatever form its files have, to a data set in memory."""

import os
from collections.abc import Sequence
from pathlib import Path

from lightfer.data.cache import cache_folder
from lightfer.data.dataset import SPLITS, DataError, Dataset, Split, SplitName, Verification
from lightfer.data.forms import Part, find_parts
from lightfer.data.members import Member, open_members
from lightfer.data.official import has_official_counts, recognise
from lightfer.data.synthetic import synthetic_faces


def find(explicit: str | Path | None = None) -> str | None:
    """Where the data is: `explicit` (--data), else LIGHTFER_DATA, else what `data fetch` left.

    None where nothing is known; that an explicit path exists is checked by `load`.
    """
    if explicit is not None:
        return str(explicit)
    if from_environment := os.environ.get("LIGHTFER_DATA"):
        return from_environment
    fetched = cache_folder() / "fer2013"
    return str(fetched) if fetched.exists() else None


def load(source: str | Path, splits: Sequence[SplitName] = SPLITS) -> Dataset:
    """Read `splits` of `source`: "synthetic", or a file, folder or zip of any form of FER2013.

    Only the files of the wanted splits have to exist. Raises DataError.
    """
    if str(source) == "synthetic":
        faces = synthetic_faces()
        return Dataset("synthetic", "synthetic", {name: faces[name] for name in splits})
    path = Path(source).expanduser()
    with open_members(path) as members:
        read = _read(members, splits, str(path))
    for split in splits:
        if split not in read or len(read[split][0]) == 0:
            raise DataError(
                f"{path}: no {split} split among {', '.join(read) or 'no splits'}. "
                "Add its images, or pass data that has it"
            )
    official = [_official(split, read[split][0], path) for split in splits]
    name = "fer2013" if all(official) else "custom"
    verification = _weakest([read[split][1] for split in splits])
    return Dataset(name, str(path), {split: read[split][0] for split in splits}, verification)


def _read(
    members: Sequence[Member], splits: Sequence[SplitName], where: str
) -> dict[SplitName, tuple[Split, Verification]]:
    read: dict[SplitName, tuple[Split, Verification]] = {}
    for part in find_parts(members, splits, where):
        if set(part.splits) & set(splits):
            read |= _read_part(part)
    return read


def _read_part(part: Part) -> dict[SplitName, tuple[Split, Verification]]:
    return {name: recognise(name, split) for name, split in part.read().items()}


def _official(name: SplitName, split: Split, path: Path) -> bool:
    try:
        return has_official_counts(name, split)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _weakest(found: Sequence[Verification]) -> Verification:
    if "none" in found:
        return "none"
    return "labels" if "labels" in found else "pixels and labels"
