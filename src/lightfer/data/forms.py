"""Which form of data a set of files is, and how to read each part of it.

Where a folder holds several forms, the first of these is taken that can give the wanted splits:
Parquet, a CSV with a column Usage, image folders, CSV files without Usage, a zip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lightfer.data.dataset import SPLITS, DataError, Split, SplitName, join
from lightfer.data.fer_csv import read_csv, read_header
from lightfer.data.images import SUFFIXES, read_images
from lightfer.data.members import Member
from lightfer.data.names import folder_labels, split_in_name, split_name
from lightfer.data.parquet import has_usage, read_parquet


@dataclass(frozen=True)
class Part:
    """What is read, and kept in the cache, at once: `splits` are those it may hold."""

    form: str
    splits: tuple[SplitName, ...]
    members: tuple[Member, ...]
    read: Callable[[], dict[SplitName, Split]]


def find_parts(members: Sequence[Member], wanted: Sequence[SplitName], where: str) -> list[Part]:
    """Parts of the best form among `members`. Raises DataError where none is usable."""
    candidates = [
        form
        for find in (_parquet_parts, _csv_parts, _image_parts, _plain_csv_parts)
        if (form := find(members, where))
    ]
    for parts in candidates:
        if set(wanted) <= {split for part in parts for split in part.splits}:
            return parts
    if candidates:
        return candidates[0]
    raise DataError(
        f"{where}: no data found among {len(members):,} files, expected fer2013.csv, "
        "icml_face_data.csv, Parquet files, or images as train/happy/1.png. "
        "Check the path; unpack archives other than zip first"
    )


def _parquet_parts(members: Sequence[Member], where: str) -> list[Part]:
    """One part per split named by the files, or one for all files with a column Usage."""
    by_split: dict[SplitName | None, list[Member]] = {}
    for member in _with_suffix(members, ".parquet"):
        split = split_in_name(member.path.stem) or split_name(member.path.parent.name)
        # Hugging Face turns a CSV with Usage into Parquet files that are all called train.
        mixed = split in ("train", None) and has_usage(member)
        by_split.setdefault(None if mixed else split, []).append(member)
    if None in by_split:
        by_split = {None: by_split[None]}
    return [
        Part("parquet", SPLITS if split is None else (split,), tuple(of), partial(_read, of, split))
        for split, of in by_split.items()
    ]


def _read(members: Sequence[Member], split: SplitName | None) -> dict[SplitName, Split]:
    return join([read_parquet(member, split) for member in members])


def _csv_parts(members: Sequence[Member], where: str) -> list[Part]:
    found = [m for m, header in _csv_headers(members) if "usage" in header]
    if len(found) > 1:
        raise DataError(
            f"{where}: {len(found)} files hold the data, {_listed(found)}. Pass one of them"
        )
    return [Part("csv", SPLITS, (member,), partial(read_csv, member, None)) for member in found]


def _plain_csv_parts(members: Sequence[Member], where: str) -> list[Part]:
    """CSV files without Usage, one split each: the competition's `train.csv`."""
    parts = []
    for member, header in _csv_headers(members):
        split = split_in_name(member.path.stem)
        if "usage" not in header and split is not None:
            parts.append(Part("csv", (split,), (member,), partial(read_csv, member, split)))
    return parts


def _csv_headers(members: Sequence[Member]) -> list[tuple[Member, list[str]]]:
    """CSV files that hold labelled pixels: not the votes of FER+, nor a test set without labels."""
    csv_members = _with_suffix(members, ".csv")
    if len(members) == 1 and csv_members:  # then say what is wrong with the file that was passed
        member = csv_members[0]
        default = split_in_name(member.path.stem)
        header = read_header(member)
        return [(member, header if default else [*header, "usage"])]
    headers = [(member, read_header(member)) for member in csv_members]
    return [(m, header) for m, header in headers if {"emotion", "pixels"} <= set(header)]


def _image_parts(members: Sequence[Member], where: str) -> list[Part]:
    images = [m for m in members if m.path.suffix.lower() in SUFFIXES and len(m.path.parts) > 1]
    if not images:
        return []
    labels = folder_labels({m.path.parent.name for m in images}, where)
    by_split: dict[SplitName, list[Member]] = {}
    for member in images:
        by_split.setdefault(_split_of_image(member), []).append(member)
    return [
        Part("images", (split,), tuple(of), partial(_read_images, split, of, labels))
        for split, of in by_split.items()
    ]


def _read_images(
    split: SplitName, members: Sequence[Member], labels: dict[str, int]
) -> dict[SplitName, Split]:
    of_member = [labels[member.path.parent.name] for member in members]
    return {split: read_images(members, of_member)}


def _split_of_image(member: Member) -> SplitName:
    """By a Usage that begins the file's name, else by the folder above the class."""
    usage = split_name(member.path.stem.partition("_")[0]) if "_" in member.path.stem else None
    split = usage or split_name(member.path.parent.parent.name)
    if split is None:
        raise DataError(
            f"{member.where}: cannot tell the split, expected a folder train, validation or test "
            "above the class, or a name such as PublicTest_7.jpg. Rename the folders"
        )
    return split


def _with_suffix(members: Sequence[Member], suffix: str) -> list[Member]:
    return [member for member in members if member.path.suffix.lower() == suffix]


def _listed(members: Sequence[Member]) -> str:
    return ", ".join(member.name for member in members[:5])
