"""1,200 mutated CSV files, more in `test_mutated_files.py`: right data or exactly one DataError.

Oracles: a change that must not matter leaves the faces as they were; for a change that may, a
plain second reader (csv and int()) reads the same file, and what `load` returns has to be what it
read. The examples do not depend on chance, except that Hypothesis draws others when sources change.
"""

import csv
from pathlib import Path
from random import Random

import pytest
from hypothesis import given

from tests.data import writers
from tests.data.mutate import FACES, ORIGINAL, USAGE, Faces, flip, mutated, outcome, seeds

pytestmark = pytest.mark.usefixtures("no_cache")


def csv_of(rows: list[list[str]], random: Random, harmless: bool) -> bytes:
    """Lines as text; what is harmless is drawn, what is not is left to `spoil`."""
    order = [0, 1, 2]
    random.shuffle(order)
    quote = random.random() < 0.3 and harmless
    ending = random.choice(("\n", "\r\n"))
    pad = random.choice(("", " "))
    lines = []
    for row in rows:
        fields = [row[i] if i < len(row) else "" for i in order] + row[3:]
        fields = [f'"{f}"' if quote else pad + f for f in fields]
        lines.append(",".join(fields))
        if random.random() < 0.1:
            lines.append("")
    text = ending.join(lines) + random.choice(("", ending, ending * 3))
    return random.choice((b"", "\ufeff".encode())) + text.encode()


def csv_rows() -> list[list[str]]:
    rows = [["emotion", "pixels", "Usage"]]
    for _, label, split, pixels in writers.rows(FACES):
        rows.append([str(label), " ".join(map(str, pixels)), writers.USAGE[split]])
    return rows


def spoil(rows: list[list[str]], random: Random) -> list[list[str]]:
    """One change that the file's meaning does not survive."""
    row = rows[random.randrange(1, len(rows))]
    pixels = row[1].split()
    at = random.randrange(len(pixels))
    match random.randrange(8):
        case 0:
            rows[0][random.randrange(3)] = random.choice(("", "image", "split", "x y"))
        case 1:
            del pixels[at : at + random.randrange(1, 3)]
        case 2:
            pixels.insert(at, "0")
        case 3:
            bad = (
                "256",
                "-1",
                "1.5",
                "x",
                "0x1",
                "1e2",
                "99999999999999999999",
                "nan",
                "1,2",
                "\0",
            )
            pixels[at] = random.choice(bad)
        case 4:
            row[0] = random.choice(("7", "-1", "", "x", "1.5", "٣", "contempt", "00"))
        case 5:
            row[2] = random.choice(("", "Test 1", "Public", "7", "Trainings"))
        case 6:
            row.append("more")
        case 7:
            usage = random.choice(USAGE)
            rows[1:] = [r for r in rows[1:] if r[2] != usage]
            return rows
    row[1] = " ".join(pixels)
    return rows


@mutated(300)
@given(seeds)
def test_csv_that_must_not_matter(tmp_path_factory, seed: int):
    random = Random(seed)
    path = tmp_path_factory.mktemp("csv") / "fer2013.csv"
    path.write_bytes(csv_of(csv_rows(), random, harmless=True))
    assert outcome(path) == ORIGINAL


@mutated(400)
@given(seeds)
def test_csv_that_lost_its_meaning(tmp_path_factory, seed: int):
    random = Random(seed)
    path = tmp_path_factory.mktemp("csv") / "fer2013.csv"
    path.write_bytes(csv_of(spoil(csv_rows(), random), random, harmless=False))
    assert outcome(path) is None


def plain_csv(path: Path) -> Faces:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *lines = [fields for fields in csv.reader(file, strict=True) if fields]
    header = [column.strip().lower() for column in header]
    emotion, pixels, usage = (header.index(column) for column in ("emotion", "pixels", "usage"))
    words: dict[str, str] = {usage.lower(): name for name, usage in writers.USAGE.items()}
    faces: Faces = {}
    for fields in lines:
        values = bytes(int(value) for value in fields[pixels].split())
        name = words[fields[usage].strip().lower().replace("_", "").replace("-", "")]
        faces.setdefault(name, []).append((int(fields[emotion]), values))
    return faces


@mutated(500)
@given(seeds)
def test_csv_with_damaged_bytes(tmp_path_factory, seed: int):
    random = Random(seed)
    path = tmp_path_factory.mktemp("csv") / random.choice(("fer2013.csv", "icml_face_data.csv"))
    path.write_bytes(flip(csv_of(csv_rows(), random, harmless=True), random))
    found = outcome(path)
    assert found is None or found == plain_csv(path)
