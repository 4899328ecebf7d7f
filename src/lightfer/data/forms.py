"""Which form of data a set of files is, and how to read each part of it.

Where a folder holds several forms, the first of these is taken that has all three splits, else the
one with most, whatever command asks: Parquet, a CSV with a column Usage, image folders, CSV files
without Usage. A zip counts only where there is nothing else. What is wrong with one form is passed
over where another has all three, or came before.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lightfer.data.dataset import SPLITS, DataError, Split, SplitName, join
from lightfer.data.fer_csv import read_csv, read_header
from lightfer.data.folds import fold_numbers
from lightfer.data.images import Face, framed, read_faces, read_images
from lightfer.data.members import DATA_SUFFIXES, Member
from lightfer.data.names import IMAGE_COLUMNS, USAGES, folder_labels, split_in_name, split_name
from lightfer.data.parquet import LABEL_COLUMNS, read_columns, read_parquet
from lightfer.data.pictures import SUFFIXES

CSV_SPLITS: dict[str, SplitName | None] = {
    "fer2013.csv": None,
    "icml_face_data.csv": None,
    "train.csv": "train",
}
"""Split of the well-known files where they have no column Usage; None where they must have one."""


FORMS = {
    "parquet": "Parquet",
    "csv": "CSV",
    "images": "image folders",
    "images 0 to 6": "image folders, numbered as in fer2013.csv",
    "images 1 to 7": "image folders, numbered as in RAF-DB",
}
NAMED = 3  # files, and endings, that are named among what is not used


@dataclass(frozen=True)
class Part:
    """What is read, and kept in the cache, at once: `splits` are those it may hold.

    What decides it beside the members' names and content, as what other files say of them, stands
    in `about`.
    """

    form: str
    splits: tuple[SplitName, ...]
    members: tuple[Member, ...]
    read: Callable[[int], dict[SplitName, Split]]  # of images with so many pixels a side
    about: str = ""


@dataclass(frozen=True)
class FaceSet:
    """Another data set than FER2013, as `--data NAME:PATH` reads it; one module has one."""

    title: str
    mapping: Mapping[str, str | None]  # what its files say -> class; None: such images are left out
    counts: Mapping[SplitName, tuple[int, ...]]
    """Official images of each class of WITH_CONTEMPT; validation, if held out, is in train's."""
    parts: Callable[[Sequence[Member], str], list[Part]]


def faces_part(
    form: str,
    splits: tuple[SplitName, ...],
    lists: Sequence[Member],
    faces: Sequence[Face],
    *,
    find: bool = False,
) -> Part:
    """The faces of the test split, or of train: then every tenth group of equal images becomes
    validation. With `find` they are looked for in the pictures. `lists` are read beside these.
    """

    def read(size: int) -> dict[SplitName, Split]:
        if not faces:  # as a list may say; without lists they are found by their names
            raise DataError(f"{lists[0].where}: no face in it that has a class. Get the file again")
        split = read_faces(framed(faces) if find else faces, size)
        if "test" in splits:
            return {"test": split}
        chosen = fold_numbers(split, 10) == 0
        return {"train": split.where(~chosen), "validation": split.where(chosen)}

    return Part(form, splits, (*lists, *dict.fromkeys(face.member for face in faces)), read)


def one_of(members: Sequence[Member], found: Sequence[Member], what: str, where: str) -> Member:
    """The only one of `found`. Raises DataError."""
    if len(found) == 1:
        return found[0]
    listed = f": {_listed(found)}" if found else ""
    raise DataError(
        f"{where}: {len(found)} files {what} among {len(members):,}{listed}, expected one. "
        "Pass the folder or archive of the data set as it was distributed"
    )


def find_parts(members: Sequence[Member], where: str) -> list[Part]:
    """Parts of the best form among `members`; none where there is no data. Raises DataError, also
    where two of them hold one split: only one could be read.
    """
    best: list[Part] = []
    problem: DataError | None = None
    for find in (_parquet_parts, _csv_parts, _image_parts, _plain_csv_parts):
        try:
            parts = find(members, where)
        except DataError as error:
            problem = problem if best else problem or error
            continue
        if len(splits_of(parts)) > len(splits_of(best)):
            best = parts
        if len(splits_of(best)) == len(SPLITS):
            break
    if problem and len(splits_of(best)) < len(SPLITS):
        raise problem
    if not best:  # which columns they lack shows when they are read
        best = _parquet_parts(members, where, needed=())
    for split in SPLITS:
        found = [member for part in best if split in part.splits for member in part.members[:1]]
        if len(found) > 1:
            raise DataError(
                f"{where}: {len(found)} files hold the {split} split, {_listed(found)}. Make one "
                "file of them, or move the others away"
            )
    return best


def splits_of(parts: Sequence[Part]) -> set[SplitName]:
    """Those that the parts may hold."""
    return {split for part in parts for split in part.splits}


def unused(members: Sequence[Member], parts: Sequence[Part]) -> tuple[str, ...]:
    """What lies beside the parts: files that could be data by their names, others by ending."""
    used = {member.name for part in parts for member in part.members}
    left = [m for m in members if m.name not in used and m.parts[-1].lower() != "fer2013new.csv"]
    named = [m.name for m in left if m.suffix in DATA_SUFFIXES][:NAMED]
    endings = Counter(m.suffix or "without an ending" for m in left if m.name not in named)
    return (*named, *(f"{count:,} {ending}" for ending, count in endings.most_common(NAMED)))


def _parquet_parts(
    members: Sequence[Member],
    where: str,
    needed: Sequence[Sequence[str]] = (LABEL_COLUMNS, IMAGE_COLUMNS),
) -> list[Part]:
    """One part per split named by the files, or one for all files with a column Usage. Files
    without one of the `needed` columns of each kind are passed over.
    """
    found: list[tuple[SplitName | None, bool, Member]] = []
    for member in _with_suffix(members, ".parquet"):
        split = split_in_name(member.stem) or split_name(member.parts[-2])
        try:
            columns = read_columns(member)
            if any(columns.isdisjoint(of_kind) for of_kind in needed):
                continue
        except DataError:  # shows when it is read: validation and test may not be asked for
            if split in ("train", None):
                raise
            columns = set()
        found.append((split, "usage" in columns, member))
    # Hugging Face turns a CSV with Usage into Parquet files that are all called train.
    mixed = {split for split, *_ in found} <= {"train", None}
    by_split: dict[SplitName | None, list[Member]] = {}
    for split, usage, member in found:
        by_split.setdefault(None if mixed and usage else split, []).append(member)
    if None in by_split:
        by_split = {None: by_split[None]}
    return [
        Part("parquet", SPLITS if split is None else (split,), tuple(of), partial(_read, of, split))
        for split, of in by_split.items()
    ]


def _read(members: Sequence[Member], split: SplitName | None, size: int) -> dict[SplitName, Split]:
    return join([read_parquet(member, split, size) for member in members])


def _csv_parts(members: Sequence[Member], where: str) -> list[Part]:
    """A CSV with Usage, or one for each split that is named by it and has the column, too."""
    found = [m for m, header in _csv_headers(members) if "usage" in header]
    by_split: dict[SplitName | None, Member] = {split_in_name(m.stem): m for m in found}
    if len(found) == 1:
        by_split = {None: found[0]}
    elif None in by_split or len(by_split) < len(found):
        raise DataError(
            f"{where}: {len(found)} files hold the data, {_listed(found)}. Pass one of them"
        )
    parts = []
    for split, member in by_split.items():
        splits: tuple[SplitName, ...] = (split,) if split else SPLITS
        parts.append(Part("csv", splits, (member,), partial(read_csv, member, split)))
    return parts


def _plain_csv_parts(members: Sequence[Member], where: str) -> list[Part]:
    """CSV files without Usage, one split each: the competition's `train.csv`."""
    parts = []
    for member, header in _csv_headers(members):
        split = split_in_name(member.stem)
        if "usage" not in header and split is not None:
            parts.append(Part("csv", (split,), (member,), partial(read_csv, member, split)))
    return parts


def _csv_headers(members: Sequence[Member]) -> list[tuple[Member, list[str]]]:
    """CSV files that hold labelled pixels: not the votes of FER+, nor a test set without labels.

    What is wrong with one of them shows when it is read; other CSV files are passed over.
    """
    found = []
    for member in _with_suffix(members, ".csv"):
        meant = len(members) == 1 or member.parts[-1].lower() in CSV_SPLITS
        try:
            header = read_header(member)
        except DataError:
            if meant:
                raise
            continue
        if meant or {"emotion", "pixels"} <= set(header):
            split = CSV_SPLITS.get(member.parts[-1].lower(), split_in_name(member.stem))
            found.append((member, header if split else [*header, "usage"]))
    return found


def _image_parts(members: Sequence[Member], where: str) -> list[Part]:
    images = [m for m in members if m.suffix in SUFFIXES and m.parts[-2]]
    if not images:
        return []
    labels = folder_labels({m.parts[-2] for m in images}, where)
    form = "images"
    if all(name.isdigit() for name in labels):
        form += " 1 to 7" if "7" in labels else " 0 to 6"
    by_split: dict[SplitName, list[Member]] = {}
    for member in images:
        by_split.setdefault(_split_of_image(member), []).append(member)
    parts = []
    for split, of in by_split.items():
        meant = {m.parts[-2]: labels[m.parts[-2]] for m in of}  # decided over all splits
        _check_once(split, of, meant, where)
        read = partial(_read_images, split, of, meant)
        parts.append(Part(form, (split,), tuple(of), read, about=str(sorted(meant.items()))))
    return parts


def _check_once(
    split: SplitName, members: Sequence[Member], labels: dict[str, int], where: str
) -> None:
    """Raise DataError where the first image whose name and class another one has is the same, as
    where an archive was unpacked twice: each would count twice.
    """
    named: dict[tuple[int, str], Member] = {}
    for member in members:
        first = named.setdefault((labels[member.parts[-2]], member.parts[-1]), member)
        if first is not member:
            if first.read() == member.read():
                raise DataError(
                    f"{where}: {first.name} and {member.name} are one image: the {split} split "
                    "lies there twice. Pass one of the folders, or move the other away"
                )
            return


def _read_images(
    split: SplitName, members: Sequence[Member], labels: dict[str, int], size: int
) -> dict[SplitName, Split]:
    of_member = [labels[member.parts[-2]] for member in members]
    return {split: read_images(members, of_member, size)}


def _split_of_image(member: Member) -> SplitName:
    """By a Usage that begins the file's name, else by the nearest folder above the class. Of two
    that differ only Kaggle's are meant, whose folder test has both halves.
    """
    named = USAGES.get(member.stem.partition("_")[0].lower())
    folders = map(split_name, reversed(member.parts[:-2]))
    folder: SplitName | None = next((name for name in folders if name), None)
    if named and folder and folder != named and (folder, named) != ("test", "validation"):
        raise DataError(
            f"{member.where}: its folder says {folder}, its name {named}. Rename one of them, or "
            "move it"
        )
    if split := named or folder:
        return split
    raise DataError(
        f"{member.where}: cannot tell the split, expected a folder train, validation or test "
        "above the class, or a name such as PublicTest_7.jpg. Rename the folders"
    )


def _with_suffix(members: Sequence[Member], suffix: str) -> list[Member]:
    return [member for member in members if member.suffix == suffix]


def _listed(members: Sequence[Member]) -> str:
    return ", ".join(member.name for member in members[:5])
