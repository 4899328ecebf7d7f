"""CSV that is unusual and CSV that is wrong; oracle: the lines as written here."""

from pathlib import Path

import numpy as np
import pytest

from lightfer.data import DataError, load
from lightfer.data.fer_csv import parse_pixels

PIXELS = [str(i % 256) for i in range(2304)]
TEXT = " ".join(PIXELS)
LINES = ["emotion,pixels,Usage", f"0,{TEXT},Training", f"3,{TEXT},PublicTest"]
LAST = f"6,{TEXT},PrivateTest"


def write(folder: Path, lines: list[str], encoding: str = "utf-8", newline: str = "\n") -> Path:
    path = folder / "fer2013.csv"
    path.write_bytes((newline.join(lines) + newline).encode(encoding))
    return path


@pytest.mark.parametrize(
    ("lines", "encoding", "newline"),
    [
        pytest.param([*LINES, LAST], "utf-8-sig", "\r\n", id="BOM and CRLF"),
        pytest.param([*LINES, "", LAST, "", ""], "utf-8", "\n", id="blank lines"),
        pytest.param([*LINES, f'"6","{TEXT}","PrivateTest"'], "utf-8", "\n", id="quotes"),
        pytest.param([*LINES, f" 6 , {TEXT.replace(' ', '  ')} , privatetest "], "utf-8", "\n",
                     id="blanks and case"),
        pytest.param([*LINES, LAST.replace("6,", "neutral,", 1)], "utf-8", "\n", id="class name"),
        pytest.param([*LINES, LAST.replace("6,", "6.0,", 1)], "utf-8", "\n", id="6.0"),
        pytest.param([*LINES, f"{LAST},,"], "utf-8", "\n", id="empty columns in a line"),
        pytest.param([f"{LINES[0]},,", *LINES[1:], f"{LAST},, "], "utf-8", "\n",
                     id="empty columns in line 1"),
        pytest.param([line.replace(",", ";") for line in [*LINES, LAST]], "utf-8", "\r\n",
                     id="semicolons"),
        pytest.param([line.replace(",", "\t") for line in [*LINES, LAST]], "utf-8", "\n",
                     id="tabs"),
        pytest.param([*LINES, LAST], "utf-16", "\r\n", id="UTF-16"),
        pytest.param([*LINES, LAST], "utf-16-le", "\n", id="UTF-16 without its mark"),
        pytest.param(["\ufeff" + LINES[0], *LINES[1:], LAST], "utf-16-be", "\n", id="UTF-16 BE"),
    ],
)  # fmt: skip
def test_unusual_but_right(lines: list[str], encoding: str, newline: str, tmp_path: Path):
    data = load(write(tmp_path, lines, encoding, newline))
    assert [int(data[name].labels) for name in ("train", "validation", "test")] == [0, 3, 6]
    for split in data.splits.values():
        assert split.images.flatten().tolist() == [int(pixel) for pixel in PIXELS]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"6,{' '.join(PIXELS[:-1])},PrivateTest", r"line 4: 2303 pixels, expected 2304"),
        (f"6,{TEXT} 0,PrivateTest", r"line 4: 2305 pixels, expected 2304"),
        (LAST.replace(" 255 ", " 256 ", 1), r"line 4: pixel 256 is '256', expected a whole number"),
        (LAST.replace(" 7 ", " -7 ", 1), r"line 4: pixel 8 is '-7', expected"),
        (LAST.replace(" 7 ", " 7.5 ", 1), r"line 4: pixel 8 is '7\.5', expected"),
        (LAST.replace(" 7 ", " 65543 ", 1), r"line 4: pixel 8 is '65543', expected"),
        (LAST.replace(" 7 ", f" {2**64 + 7} ", 1), r"line 4: pixel 8 is '18446744073709551623'"),
        (LAST.replace(" 7 ", " x ", 1), r"line 4: pixel 8 is 'x', expected"),
        (LAST.replace("6,", "7,", 1), r"line 4: unknown emotion '7', expected 0 to 6"),
        (LAST.replace("6,", ",", 1), r"line 4: unknown emotion '', expected 0 to 6"),
        (f"6,{TEXT},Secret", r"line 4: unknown Usage 'Secret', expected Training"),
        (f"6,{TEXT}", r"line 4: 2 columns, expected 3 as in line 1"),
        (f"6,{TEXT},PrivateTest,,x", r"line 4: 5 columns, expected 3"),
        (LAST.replace("6,", "6.5,", 1), r"line 4: unknown emotion '6\.5', expected 0 to 6"),
        (f"6,{TEXT[:100]}", r"line 4: 2 columns, expected 3.*cut off"),
        (f'6,"{TEXT},PrivateTest', r"line 4: not readable as CSV"),
        (f"6,{'0' * 2_000_000},PrivateTest", r"line 4: not readable as CSV|line 4: .* columns"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path):
    path = write(tmp_path, [*LINES, line])
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("emotion,pixels", r"line 1: 0 columns 'usage' among 'emotion, pixels'"),
        ("emotion,image,Usage", r"line 1: 0 columns 'pixels' among"),
        ("emotion,emotion,Usage", r"line 1: 2 columns 'emotion' among"),
        (LINES[1], r"line 1: 0 columns 'emotion' among"),
    ],
)
def test_a_wrong_header_is_named(header: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, [header, *LINES[1:], LAST]))


def test_the_hint_at_test_csv_is_for_files_with_its_columns(tmp_path: Path):
    for old, new in ((",", "|"), ("emotion", "label")):
        lines = [line.replace(old, new) for line in (*LINES, LAST)]
        with pytest.raises(DataError, match=r"0 columns 'emotion' among .*Correct the header\.$"):
            load(write(tmp_path, lines))


def test_wrong_encoding_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"line 1: not UTF-8 text"):
        load(write(tmp_path, [*LINES, LAST], "utf-32"))


def test_empty_files_and_empty_splits(tmp_path: Path):
    (tmp_path / "fer2013.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty file, expected the columns"):
        load(tmp_path)
    nothing = write(tmp_path, LINES[:1])
    with pytest.raises(DataError, match=r"fer2013\.csv: no images"):
        load(nothing)
    with pytest.raises(DataError, match=r"fer2013\.csv: no images"):
        load(nothing, ("train",))
    with pytest.raises(DataError, match=r"no test split, only train, validation"):
        load(write(tmp_path, LINES))


def test_numbers_are_read_as_python_reads_them():
    """Oracle: int() on random numbers."""
    values = np.random.default_rng(0).integers(0, 256, 2304)
    assert parse_pixels(" ".join(map(str, values)), "here").tolist() == values.tolist()
