"""Parquet: one row per image, as this project and Hugging Face write FER2013.

The image is encoded bytes, a struct with a field `bytes`, or text of 2304 numbers; the label is an
integer or a class name. Integers mean the class names that Hugging Face's metadata list. Where none
are listed, they, and numbers as text or for names, mean the order of `fer2013.csv` in a column
`emotion` or where FER2013's class counts prove it, and are refused elsewhere. A column `Usage`
splits, else the file's name does.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lightfer._files import read_json
from lightfer.data.dataset import CLASSES, IMAGE_SIZE, DataError, Split, SplitName
from lightfer.data.fer_csv import parse_pixels
from lightfer.data.images import decode, resized
from lightfer.data.members import MAX_MEMBER_BYTES, Member, reading
from lightfer.data.names import IMAGE_COLUMNS, class_label, split_name
from lightfer.data.official import has_official_counts

LABEL_COLUMNS = ("emotion", "label", "labels")


def read_columns(member: Member) -> set[str]:
    """Lower-case names of its columns. Raises DataError."""
    with _opened(member) as file:
        return {*_columns(file, member)}


def read_parquet(member: Member, default: SplitName | None, size: int) -> dict[SplitName, Split]:
    """Read one file, split by its `Usage`, or all into the `default` split without that column."""
    with _opened(member) as file:
        columns = _columns(file, member)
        label = _one_of(LABEL_COLUMNS, columns, member)
        image = _one_of(IMAGE_COLUMNS, columns, member)
        wanted = [columns[c] for c in (label, image, "usage", "row") if c in columns]
        table = file.read(columns=wanted, use_threads=False)
        names = _class_names(file, columns[label], member)
        values = {c: table[columns[c]].to_pylist() for c in (label, "usage") if c in columns}
        rows = table[columns["row"]].to_pylist() if "row" in columns else None
        splits = _splits(values.get("usage"), len(table), default, member)
        meant = names or CLASSES
        labels = [_label(v, meant, _at(member, row)) for row, v in enumerate(values[label])]
        images = [
            _image(v.as_py(), _at(member, row), size) for row, v in enumerate(table[columns[image]])
        ]
        said = [names[v] if names and isinstance(v, int) else v for v in values[label]]
        proven = label == "emotion" or not any(map(_is_number, said))
    found: dict[SplitName, Split] = {
        name: _pick([i for i, s in enumerate(splits) if s == name], images, labels, rows, member)
        for name in dict.fromkeys(splits)
    }
    if not proven and not all(has_official_counts(name, split) for name, split in found.items()):
        raise DataError(
            f"{member.where}: nothing tells what the numbers in the column {columns[label]} mean. "
            "Write the names of the classes, or call the column emotion if 0 to 6 are "
            f"{', '.join(CLASSES)}"
        )
    return found


def _pick(
    chosen: list[int],
    images: Sequence[np.ndarray],
    labels: Sequence[int],
    rows: Sequence[Any] | None,
    member: Member,
) -> Split:
    """Rows of the file that make one split, ordered by the original CSV's row where it is told."""
    if rows is None:
        numbers = None
    else:
        valid = all(type(rows[i]) is int and 0 <= rows[i] < 2**63 for i in chosen)
        if not valid or len({rows[i] for i in chosen}) < len(chosen):
            raise DataError(
                f"{member.where}: the column row has empty, negative, huge or repeated values, "
                "expected the line of the original CSV. Correct or remove the column"
            )
        chosen = sorted(chosen, key=lambda i: rows[i])
        numbers = torch.tensor([rows[i] for i in chosen])
    return Split(
        torch.from_numpy(np.stack([images[i] for i in chosen])).unsqueeze(1),
        torch.tensor([labels[i] for i in chosen]),
        numbers,
    )


def _at(member: Member, row: int) -> str:
    return f"{member.where}, row {row}"


def _label(value: Any, names: Sequence[str], where: str) -> int:
    known = type(value) is int and 0 <= value < len(names)  # True is no class
    label = class_label(names[value]) if known else None
    if isinstance(value, str):
        label = class_label(value)
    if label is None:
        raise DataError(
            f"{where}: unknown label {value!r:.40}, expected 0 to {len(names) - 1} for "
            f"{', '.join(names)}, or one of these names. Correct the file"
        )
    return label


def _is_number(value: Any) -> bool:
    """Whether a label that was read, or its name, says no class but a number."""
    return not any(character.isalpha() for character in str(value))


def _image(value: Any, where: str, size: int) -> np.ndarray:
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, str):
        return resized(parse_pixels(value, where).reshape(IMAGE_SIZE, IMAGE_SIZE), size)
    if not isinstance(value, bytes):
        raise DataError(
            f"{where}: the image is {type(value).__name__}, expected encoded bytes, a struct with "
            "a field bytes, or text of 2304 numbers. Write the images into the file"
        )
    return decode(value, where, size)


def _splits(
    usages: list[Any] | None, n: int, default: SplitName | None, member: Member
) -> list[SplitName]:
    if usages is None:
        if default is None:
            raise DataError(
                f"{member.where}: no column Usage, and not exactly one of train, validation and "
                "test in the file's name. Rename it, for instance fer2013-train.parquet"
            )
        return [default] * n
    splits: list[SplitName] = []
    for row, usage in enumerate(usages):
        split = split_name(str(usage))
        if split is None:
            raise DataError(
                f"{_at(member, row)}: unknown Usage {usage!r:.40}, expected Training, PublicTest "
                "or PrivateTest. Correct the file"
            )
        splits.append(split)
    return splits


def _class_names(file: pq.ParquetFile, column: str, member: Member) -> list[str] | None:
    """What the integers mean by Hugging Face's metadata; None where these do not say it."""
    metadata = (file.schema_arrow.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        feature = read_json(metadata)["info"]["features"][column]
        if feature["_type"] == "Value":  # the type of the numbers, no names of classes
            return None
        names = feature["names"]
        if names and all(isinstance(name, str) for name in names):
            return list(names)
        reason = f"names {names!r:.100}"
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}"
    raise DataError(
        f"{member.where}: Hugging Face's metadata do not tell the classes of {column} "
        f"({reason:.200}). Get the file again, or write it without them"
    )


def _columns(file: pq.ParquetFile, member: Member) -> dict[str, str]:
    """Lower-case name of every column -> its name in the file."""
    names = [name.strip().lower() for name in file.schema_arrow.names]
    for name in (*LABEL_COLUMNS, *IMAGE_COLUMNS, "usage", "row"):
        if names.count(name) > 1:
            raise DataError(
                f"{member.where}: {names.count(name)} columns {name!r}, expected one. Remove or "
                "rename all but one of them"
            )
    return dict(zip(names, file.schema_arrow.names, strict=True))


def _one_of(candidates: Sequence[str], columns: dict[str, str], member: Member) -> str:
    found = [candidate for candidate in candidates if candidate in columns]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{member.where}: the columns {' and '.join(found)} could both be meant. Remove or "
            "rename all but one of them"
        )
    raise DataError(
        f"{member.where}: no column {' or '.join(candidates)} among {', '.join(columns)[:200]}. "
        "Rename the column that holds it"
    )


@contextmanager
def _opened(member: Member) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; whatever Arrow cannot read becomes one DataError."""
    try:
        with reading(member.where), member.open() as raw:
            source = raw if raw.seekable() else io.BytesIO(raw.read())
            file = pq.ParquetFile(source)
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            size = sum(group.total_byte_size for group in groups)
            if size > MAX_MEMBER_BYTES:
                raise DataError(
                    f"{member.where}: {size:,} bytes unpacked, at most {MAX_MEMBER_BYTES:,} are "
                    "read. Split the file into several"
                )
            yield file
    except (pa.ArrowException, UnicodeError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{member.where}: not a readable Parquet file ({reason:.200}). Get the file again"
        ) from error
