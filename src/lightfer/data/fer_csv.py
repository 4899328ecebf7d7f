"""FER2013 as CSV: Kaggle's `fer2013.csv`, the competition's `icml_face_data.csv` and `train.csv`.

One line per image: `emotion` (0 to 6 or a name), `pixels` (2304 numbers from 0 to 255 with blanks
between) and, except in `train.csv`, `Usage`. The columns may stand in any order, with blanks
around their names; further columns, and empty ones at the end of lines, are ignored. Commas,
semicolons or tabs separate, as line 1 shows; the text is UTF-8, or UTF-16 with its mark.
"""

import codecs
import csv
import io
import warnings
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch

from lightfer.data.dataset import CLASSES, IMAGE_SIZE, DataError, Split, SplitName
from lightfer.data.images import stack
from lightfer.data.members import Member, reading
from lightfer.data.names import class_label, split_name

PIXELS = IMAGE_SIZE * IMAGE_SIZE
MAX_LINE = 1 << 20  # characters; a line of FER2013 has at most 9,240


def read_header(member: Member) -> list[str]:
    """Column names of a CSV, lower case without blanks. Raises DataError."""
    for _, header in _lines(member):
        return [column.strip().lower() for column in header]
    raise DataError(f"{member.where}: empty file, expected the columns emotion, pixels and Usage")


def read_csv(member: Member, default: SplitName | None, size: int) -> dict[SplitName, Split]:
    """Read every image, split by `Usage`, or all into the `default` split without that column.

    Images of `size` pixels a side are made of the 48x48 ones. There are no rows: where a line
    stands proves nothing, as lines may be missing. `recognise` fills them in.
    """
    columns = _columns(member, default)
    images: dict[SplitName, list[np.ndarray]] = {}
    labels: dict[SplitName, list[int]] = {}
    lines = _lines(member)
    header = next(lines)[1]
    width = len(header) - _empty_at_the_end(header)
    for line, fields in lines:
        where = f"{member.where}, line {line}"
        if len(fields) < width or len(fields) - _empty_at_the_end(fields) > width:
            raise DataError(
                f"{where}: {len(fields)} columns, expected {width} as in line 1. "
                "The line is damaged or the file was cut off; get the file again"
            )
        usage = fields[columns["usage"]] if "usage" in columns else default
        split = split_name(usage or "")
        if split is None:
            raise DataError(
                f"{where}: unknown Usage {usage!r:.40}, expected Training, PublicTest or "
                "PrivateTest. Correct the line"
            )
        label = _label(fields[columns["emotion"]], where)
        images.setdefault(split, []).append(parse_pixels(fields[columns["pixels"]], where))
        labels.setdefault(split, []).append(label)
    return {
        split: Split(
            stack([image.reshape(IMAGE_SIZE, IMAGE_SIZE) for image in images[split]], size),
            torch.tensor(labels[split]),
        )
        for split in images
    }


def parse_pixels(text: str, where: str) -> np.ndarray:
    """2304 numbers with blanks between -> uint8 (2304,). Raises DataError."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's word for text it cannot read
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.array([-1])
    if len(values) == PIXELS and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    tokens = text.split()
    for position, token in enumerate(tokens, start=1):
        if not (token.isascii() and token.isdigit() and int(token[:5]) <= 255):
            raise DataError(
                f"{where}: pixel {position} is {token!r:.40}, expected a whole number from 0 to "
                "255. Correct the line or get the file again"
            )
    raise DataError(
        f"{where}: {len(tokens)} pixels, expected {PIXELS} (48 x 48). "
        "The line is damaged or the file was cut off; get the file again"
    )


def _label(text: str, where: str) -> int:
    label = class_label(text)
    if label is None:
        raise DataError(
            f"{where}: unknown emotion {text!r:.40}, expected 0 to 6 or one of "
            f"{', '.join(CLASSES)}. Correct the line"
        )
    return label


def _columns(member: Member, default: SplitName | None) -> dict[str, int]:
    """Position of each column that is used."""
    header = read_header(member)
    needed = ["emotion", "pixels"] + (["usage"] if default is None else [])
    for column in needed:
        if header.count(column) != 1:
            found = ", ".join(header)[:200]
            hint = {"usage": " Without Usage, name the file train.csv, validation.csv or test.csv."}
            if header == ["pixels"]:
                hint["emotion"] = (
                    " The competition's test.csv has no labels; use icml_face_data.csv."
                )
            raise DataError(
                f"{member.where}, line 1: {header.count(column)} columns {column!r} among "
                f"{found!r}, expected one each of emotion, pixels and Usage. Correct the header."
                + hint.get(column, "")
            )
    return {column: header.index(column) for column in [*needed, "usage"] if column in header}


def _empty_at_the_end(fields: list[str]) -> int:
    """How many of the last fields are blank, as spreadsheets add them."""
    filled = [i for i, field in enumerate(fields) if field.strip()]
    return len(fields) - (filled[-1] + 1 if filled else 0)


def _encoding(start: bytes) -> str:
    """By the mark at the start of a text, or where its first letter has a zero byte; else UTF-8."""
    if start.startswith(codecs.BOM_UTF32_LE):  # begins as UTF-16's: not read
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(start) > 1 and (start[0] == 0) != (start[1] == 0):
        return "utf-16-le" if start[1] == 0 else "utf-16-be"
    return "utf-8-sig"


def _lines(member: Member) -> Iterator[tuple[int, list[str]]]:
    """Fields of every line that is not blank, with its number from 1. Raises DataError."""
    line = 0
    try:
        with reading(member.where), member.open() as raw:
            peekable = io.BufferedReader(raw)  # type: ignore[arg-type]
            encoding = _encoding(peekable.peek(4))
            text = io.TextIOWrapper(peekable, encoding=encoding, newline="")
            first = text.readline(MAX_LINE)
            rest = iter(lambda: text.readline(MAX_LINE), "")
            lines = chain([first] if first else [], rest)
            separator = max(",;\t", key=first.count)
            reader = csv.reader(lines, delimiter=separator, strict=True)
            for fields in reader:
                line = reader.line_num
                if fields:
                    yield line, fields
    except UnicodeError as error:
        raise DataError(
            f"{member.where}, line {line + 1}: not UTF-8 text ({error}). "
            "Save the file as CSV in UTF-8, or unpack it if it is an archive"
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{member.where}, line {line + 1}: not readable as CSV ({error}). "
            "Correct the line or get the file again"
        ) from error
