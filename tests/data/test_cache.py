"""The cache; oracle: a counter of how often files are really parsed, and the faces written."""

import os
from pathlib import Path

import pytest
from PIL import Image

from lightfer.data import DataError, Dataset, cache, load, loading
from tests.data.writers import kaggle_csv, parquet


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Forms of the parts that were read from the source, in an empty cache."""
    forms: list[str] = []
    original = loading._read_part

    def counted(part, size):
        forms.append(part.form)
        return original(part, size)

    monkeypatch.setattr(loading, "_read_part", counted)
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "cache"))
    return forms


@pytest.fixture
def source(faces: Dataset, tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return kaggle_csv(tmp_path / "source", faces)


def entries(kind: str) -> list[Path]:
    return sorted((cache.cache_folder() / "images").glob(f"*.{kind}"))


def test_the_second_time_nothing_is_parsed(parsed: list, source: Path, faces: Dataset):
    first, second = load(source), load(source)
    assert parsed == ["csv"]
    assert first.sha256() == second.sha256() == faces.sha256()
    assert (first.name, first.verification) == (second.name, second.verification)


def test_equal_content_elsewhere_is_not_parsed_again(parsed: list, source: Path, tmp_path: Path):
    load(source)
    copy = tmp_path / "fer2013.csv"
    copy.write_bytes(source.read_bytes())
    load(copy)
    assert parsed == ["csv"]


def test_changed_content_of_equal_size_and_time_is_noticed(parsed: list, source: Path):
    before = load(source)["train"].labels[0].item()
    status = source.stat()
    header, line, *rest = source.read_text().splitlines()
    source.write_text("\n".join([header, f"{(before + 1) % 7}{line[1:]}", *rest]) + "\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    assert load(source)["train"].labels[0].item() == (before + 1) % 7
    assert parsed == ["csv", "csv"]


@pytest.mark.parametrize("kind", ["npy", "json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove", "header"])
def test_a_damaged_entry_is_noticed_and_rebuilt(
    kind: str, damage: str, parsed: list, source: Path, faces: Dataset
):
    load(source)
    (path,) = entries(kind)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        header = bytes(content[:70]) + "\x88(".encode("latin-1") + bytes(content[72:])  # of Python
        damaged = {"flip": content, "cut": content[:-100], "empty": b"", "header": header}
        path.write_bytes(damaged[damage])
    assert load(source).sha256() == faces.sha256()
    assert load(source).sha256() == faces.sha256()
    assert parsed == ["csv", "csv"]


def test_changing_images_in_memory_does_not_change_the_cache(source: Path, parsed: list):
    load(source)
    images = load(source)["train"].images
    before = int(images[0, 0, 0, 0])
    images[0, 0, 0, 0] = 255 - before
    assert int(load(source)["train"].images[0, 0, 0, 0]) == before


def test_a_cache_that_cannot_be_written_is_no_error(
    parsed: list, source: Path, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path / "file" / "cache"))
    assert load(source).sha256() == load(source).sha256() == faces.sha256()
    assert parsed == ["csv", "csv"]


def test_each_split_of_parquet_has_its_entry(parsed: list, faces: Dataset, tmp_path: Path):
    folder = parquet(tmp_path, faces)
    first, second = load(folder, ("train", "validation")), load(folder)
    rows = [data["train"].rows for data in (first, second)]
    assert [of.tolist() for of in rows if of is not None] == [[*range(96)]] * 2
    assert len(parsed) == len(entries("npy")) == 3


def test_what_the_numbers_of_folders_mean_is_not_taken_from_the_cache(parsed: list, tmp_path: Path):
    """Test images in folders 1 to 6 kept RAF-DB's labels when a folder 0 in train made them those
    of the CSV: which numbers there are in all splits decides.
    """
    for split, numbers in (("train", "1234567"), ("test", "123456")):
        for number in numbers:
            folder = tmp_path / "data" / split / number
            folder.mkdir(parents=True)
            Image.new("L", (48, 48), int(number)).save(folder / "a.png")

    def labels() -> list[int]:
        return load(tmp_path / "data", ("test",))["test"].labels.tolist()

    assert labels() == labels() == [5, 2, 1, 3, 4, 0]
    assert len(parsed) == 1
    train = tmp_path / "data" / "train"
    (train / "7").rename(train / "0")
    assert labels() == [1, 2, 3, 4, 5, 6]


def test_the_oldest_entries_go_first(
    parsed: list, source: Path, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "KEPT", 3)
    load(source)
    old = entries("npy")
    for path in old:
        os.utime(path, (0, 0))
    load(parquet(tmp_path, faces))
    assert len(entries("npy")) == len(entries("json")) == 3
    assert not old[0].exists()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("LIGHTFER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "lightfer"
    for here in (".", "./"):  # it was an IndexError
        monkeypatch.setenv("XDG_CACHE_HOME", here)
        assert cache.cache_folder() == Path("lightfer")


def test_a_failed_reading_leaves_nothing(parsed: list, source: Path, faces: Dataset):
    source.write_text(source.read_text()[:-2000])
    with pytest.raises(DataError, match="cut off"):
        load(source)
    assert entries("npy") == []
