"""2,300 mutated files over all forms: each gives the right data or exactly one DataError.

Oracles: a change that must not matter leaves the faces as they were; for a change that may, a
plain second reader (csv and int(), pyarrow and Pillow without any checks) reads the same file, and
what `load` returns has to be what it read; in a zip, whose members have checksums, only the faces
as they were will do. The examples are drawn from a fixed seed.
"""

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lightfer.data import CLASSES, SPLITS, DataError, Dataset, load
from lightfer.data.synthetic import synthetic_faces
from tests.data import writers

FACES = synthetic_faces({"train": 3, "validation": 2, "test": 2}, seed=5)
USAGE = list(writers.USAGE.values())
Faces = dict[str, list[tuple[int, bytes]]]

seeds = st.integers(0, 2**32 - 1)


def mutated(examples: int):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "file" / "cache"))


def plain(data: Dataset) -> Faces:
    """Labels and pixels in a form that can be compared."""
    return {
        name: [
            (int(label), image.numpy().tobytes())
            for label, image in zip(split.labels, split.images, strict=True)
        ]
        for name, split in data.splits.items()
    }


ORIGINAL = plain(FACES)


def outcome(source: Path) -> Faces | None:
    """What `load` returns, or None after a DataError that names the source and is one text."""
    try:
        data = load(source)
    except DataError as error:
        message = str(error)
    else:
        assert not data.verified
        return plain(data)
    assert str(source) in message
    assert len(message) < 1000
    return None


def flip(data: bytes, random: Random) -> bytes:
    """A few bytes changed, lost, repeated or inserted, or the end cut off."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(changed) or 1)
        match random.choice(("flip", "set", "cut", "lose", "insert", "repeat")):
            case "flip":
                changed[at : at + 1] = bytes(
                    b ^ (1 << random.randrange(8)) for b in changed[at : at + 1]
                )
            case "set":
                changed[at : at + 1] = random.choice(
                    (b"\0", b"\xff", b",", b"\n", b'"', b" ", b"9")
                )
            case "cut":
                del changed[at:]
            case "lose":
                del changed[at : at + random.randrange(1, 100)]
            case "insert":
                changed[at:at] = random.randbytes(random.randrange(1, 20))
            case "repeat":
                changed[at:at] = changed[at : at + random.randrange(1, 10_000)]
    return bytes(changed)


# ---- CSV


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
            row[0] = random.choice(("7", "-1", "", "x", "1.0", "٣", "contempt", "00"))
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


# ---- Image folders


def plain_image(data: bytes) -> bytes:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).tobytes()


@mutated(300)
@given(seeds)
def test_image_folders(tmp_path_factory, seed: int):
    random = Random(seed)
    write = random.choice((writers.image_folder, writers.three_folders))
    folder = write(tmp_path_factory.mktemp("images"), FACES)
    images = sorted(folder.rglob("*.png"))
    path = random.choice(images)
    expected: Faces | None = ORIGINAL
    match random.randrange(6):
        case 0:
            (path.parent / "notes.txt").write_text("no image")
            (path.parent / ".hidden.png").write_bytes(b"no image")
        case 1:
            path.write_bytes(random.choice((b"", b"no image", path.read_bytes()[:-100])))
            expected = None
        case 2:
            (folder / "__MACOSX" / "train" / "cheerful").mkdir(parents=True)
            (folder / "__MACOSX" / "train" / "cheerful" / "x.png").write_bytes(b"no image")
        case 3:
            path.parent.rename(path.parent.with_name(random.choice(("8", "cheerful", "contempt"))))
            expected = None
        case 4:
            for image in images:
                if image.stem.split("_")[0] == path.stem.split("_")[0]:
                    image.unlink()
            expected = None
        case 5:
            path.write_bytes(flip(path.read_bytes(), random))
            found = outcome(folder)
            if found is not None:
                split, place = _place(path)
                expected = {name: list(faces) for name, faces in ORIGINAL.items()}
                label = expected[split][place][0]
                expected[split][place] = label, plain_image(path.read_bytes())
                assert found == expected
            return
    assert outcome(folder) == expected


def _place(path: Path) -> tuple[str, int]:
    """Split of `PublicTest_4.png` and its position there."""
    usage, row = path.stem.split("_")
    split = SPLITS[USAGE.index(usage)]
    first = {"train": 0, "validation": 3, "test": 5}[split]
    return split, int(row) - first


# ---- Parquet


def plain_parquet(folder: Path) -> Faces:
    faces: Faces = {}
    for name in SPLITS:
        of = []
        for path in sorted(folder.rglob(f"*{name}*.parquet")):
            read = pq.read_table(path)
            table = read.to_pydict()
            labels = table.get("emotion", table.get("label"))
            # Damage to the key hides Hugging Face's metadata: then nothing tells the order.
            order = sorted(CLASSES) if b"huggingface" in (read.schema.metadata or {}) else CLASSES
            images = [i if isinstance(i, bytes) else i["bytes"] for i in table["image"]]
            rows = table.get("row", list(range(len(images))))
            of += sorted(
                (row, CLASSES.index(order[label]), plain_image(image))
                for row, label, image in zip(rows, labels, images, strict=True)
            )
        faces[name] = [(label, image) for _, label, image in of]
    return faces


@mutated(300)
@given(seeds)
def test_parquet_with_damaged_bytes(tmp_path_factory, seed: int):
    random = Random(seed)
    write = random.choice((writers.parquet, writers.hugging_face))
    folder = write(tmp_path_factory.mktemp("parquet"), FACES)
    path = random.choice(sorted(folder.rglob("*.parquet")))
    path.write_bytes(flip(path.read_bytes(), random))
    found = outcome(folder)
    if found is not None:
        with suppress(KeyError, ValueError, TypeError, IndexError):
            assert found == plain_parquet(folder)


PARQUET_CHANGES: tuple[Callable[[dict, Random], object], ...] = (
    lambda table, random: table.pop(random.choice(("emotion", "image"))),
    lambda table, random: table["emotion"].__setitem__(0, random.choice((7, -1, 255, None))),
    lambda table, random: table["image"].__setitem__(0, random.choice((None, b"", b"no image"))),
    lambda table, random: table["row"].__setitem__(0, random.choice((None, -1, table["row"][1]))),
    lambda table, random: table.update(emotion=["cheerful"] * len(table["emotion"])),
    lambda table, random: table.update(Usage=["Secret"] * len(table["emotion"])),
    lambda table, random: table.update(image=[1] * len(table["image"])),
)


@mutated(150)
@given(seeds)
def test_parquet_that_lost_its_meaning(tmp_path_factory, seed: int):
    random = Random(seed)
    folder = writers.parquet(tmp_path_factory.mktemp("parquet"), FACES)
    path = folder / "fer2013-train.parquet"
    table = pq.read_table(path).to_pydict()
    random.choice(PARQUET_CHANGES)(table, random)
    pq.write_table(pa.table(table), path)
    assert outcome(folder) is None


# ---- Zip


@mutated(350)
@given(seeds)
def test_zip_with_damaged_bytes(tmp_path_factory, seed: int):
    random = Random(seed)
    form = random.choice((writers.kaggle_csv, writers.image_folder, writers.parquet))
    path = writers.zipped(form)(tmp_path_factory.mktemp("zip"), FACES)
    path.write_bytes(flip(path.read_bytes(), random))
    found = outcome(path)
    assert found is None or found == ORIGINAL
