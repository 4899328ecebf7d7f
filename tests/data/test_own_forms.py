"""Forms of data that another package names in its entry points, and paths that look like them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightfer.data import DataError, load
from lightfer.data.dataset import WITH_CONTEMPT
from lightfer.data.loading import at_size


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose entry points name forms of data, as pip would have installed it."""
    (tmp_path / "own_forms.py").write_text(
        """
import torch
from lightfer.data import CLASSES, Dataset, Split
from lightfer.data.dataset import WITH_CONTEMPT
from lightfer.data.synthetic import synthetic_faces

def drawn(path):
    if not path.exists():
        raise FileNotFoundError(path)
    return synthetic_faces({"train": 8, "validation": 4})

def wrong(path):
    return {"train": None}

def noise(path):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 1, 64, 64), generator=generator).to(torch.uint8)
    labels = torch.arange(8)
    return Dataset("custom", str(path), {"train": Split(images, labels)}, classes=WITH_CONTEMPT)

def told(path):
    images, labels = torch.zeros(4, 1, 48, 48, dtype=torch.uint8), torch.arange(4)
    given = {"images": images, "labels": labels, "classes": CLASSES}
    given |= eval(path.read_text(), {**globals(), **locals()})
    classes = given.pop("classes")
    return Dataset("custom", str(path), {"train": Split(**given)}, classes=classes)
"""
    )
    installed = tmp_path / "own_forms-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-forms\nVersion: 1.0\n")
    names = ("drawn", "wrong", "noise", "told", "gone")
    points = "".join(f"{name} = own_forms:{name}\n" for name in names)
    (installed / "entry_points.txt").write_text(f"[lightfer.data]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_forms", None)


def test_a_form_of_ones_own_is_read_by_its_name_and_is_never_verified(readers: Path):
    (readers / "faces.bin").touch()
    dataset = load(f"drawn:{readers / 'faces.bin'}", ("train", "validation"))
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 8,
        "validation": 4,
    }
    assert (dataset.name, dataset.label) == ("custom", "unverified data")
    assert set(load(f"drawn:{readers / 'faces.bin'}", ("train",)).splits) == {"train"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("drawn:faces.bin", "has no test split"),
        ("drawn:nowhere.bin", "cannot be read as drawn data: FileNotFoundError"),
        ("wrong:faces.bin", "gave dict, expected a lightfer.data.Dataset"),
        ("gone:faces.bin", "cannot be imported"),
        ("unknown:faces.bin", "does not exist"),
    ],
)
def test_what_a_reader_of_ones_own_cannot_do_is_one_error(
    readers: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
):
    monkeypatch.chdir(readers)
    (readers / "faces.bin").touch()
    with pytest.raises(DataError, match=message):
        load(source)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"images": images / 255}', r"images of type torch\.float32, expected .*torch\.uint8"),
        ('{"images": images.numpy()}', r"images of type ndarray, expected a tensor"),
        ('{"labels": labels.int()}', r"labels of type torch\.int32, expected .*torch\.int64"),
        ('{"labels": labels[:, None]}', r"labels \(4, 1\) of images \(4, 1, 48, 48\)"),
        ('{"labels": labels[:0], "images": images[:0]}', r"labels \(0,\) of images \(0, 1, 48, 48"),
        ('{"labels": labels + 4}', "labels 4 to 7, expected 0 to 6 for angry, .*, neutral"),
        ('{"labels": labels - 1}', "labels -1 to 2, expected 0 to 6"),
        ('{"labels": labels + 5, "classes": WITH_CONTEMPT}', "labels 5 to 8, expected 0 to 7"),
        ('{"shares": torch.ones(4, 8)}', r"shares of shape \(4, 8\), expected \(4, 7\)"),
        ('{"shares": torch.ones(4, 7).double()}', r"shares of type torch\.float64"),
        (
            '{"classes": CLASSES[::-1]}',
            "its classes are .*neutral.*expected lightfer.data's CLASSES",
        ),
    ],
)
def test_what_a_reader_of_ones_own_gives_is_checked(readers: Path, given: str, message: str):
    """Floats were trained on as black images; labels of other types failed in the training."""
    (readers / "given").write_text("{}")
    assert len(load(f"told:{readers / 'given'}", None)["train"]) == 4
    (readers / "given").write_text(given)
    with pytest.raises(DataError, match=message):
        load(f"told:{readers / 'given'}", None)


def test_contempt_of_a_form_of_ones_own_stays(readers: Path):
    data = load(f"noise:{readers}", ("train",))
    assert data.classes == WITH_CONTEMPT
    assert data["train"].labels.tolist() == list(range(8))


def test_a_form_of_ones_own_is_read_again_at_another_size(readers: Path):
    """Its pictures of 64 pixels were those of 48, made larger."""
    at_48 = load(f"noise:{readers}", None)
    assert at_size(at_48, 64).sha256() == load(f"noise:{readers}", None, 64).sha256()


@pytest.mark.parametrize("name", ["run:1", "synthetic", "rafdb:faces", "noise:faces"])
def test_a_path_is_read_again_at_another_size_whatever_it_looks_like(
    readers: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """One with a colon was taken for NAME:PATH, and what was made of 48 pixels made larger."""
    monkeypatch.chdir(readers)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    folder = readers / name / "train" / "happy"
    folder.mkdir(parents=True)
    Image.fromarray(noise).save(folder / "a.png")
    data = load(f"./{name}", ("train",))
    np.testing.assert_array_equal(at_size(data, 64)["train"].images[0, 0].numpy(), noise)
