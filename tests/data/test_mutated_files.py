"""1,100 mutated image folders, Parquet and zip files: right data or exactly one DataError.

Oracles: a change that must not matter leaves the faces as they were; for a change that may, a
plain second reader (pyarrow and Pillow without any checks) reads the same file, and what `load`
returns has to be what it read; in a zip, whose members have checksums, only the faces as they were
will do.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from PIL import Image

from lightfer.data import CLASSES, SPLITS
from tests.data import writers
from tests.data.mutate import FACES, ORIGINAL, USAGE, Faces, flip, mutated, outcome, seeds

pytestmark = pytest.mark.usefixtures("no_cache")


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


@mutated(350)
@given(seeds)
def test_zip_with_damaged_bytes(tmp_path_factory, seed: int):
    random = Random(seed)
    form = random.choice((writers.kaggle_csv, writers.image_folder, writers.parquet))
    path = writers.zipped(form)(tmp_path_factory.mktemp("zip"), FACES)
    path.write_bytes(flip(path.read_bytes(), random))
    found = outcome(path)
    assert found is None or found == ORIGINAL
