"""Every form of the same faces; oracle: the faces from which the files were written."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lightfer.data import SPLITS, DataError, Dataset, SplitName, find, load
from lightfer.data.loading import at_size
from lightfer.data.synthetic import synthetic_faces
from tests.data.writers import (
    FORMS,
    USAGE,
    image_folder,
    kaggle_csv,
    parquet,
    three_folders,
    zipped,
)


def assert_same(found: Dataset, faces: Dataset) -> None:
    for name in SPLITS:
        torch.testing.assert_close(found[name].labels, faces[name].labels, rtol=0, atol=0)
        torch.testing.assert_close(found[name].images, faces[name].images, rtol=0, atol=0)
    assert found.sha256() == faces.sha256()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels_and_pixels(form: str, faces: Dataset, tmp_path: Path):
    data = load(FORMS[form](tmp_path, faces))
    assert_same(data, faces)
    assert (data.name, data.verified, data.label) == ("custom", False, "unverified data")


@pytest.mark.parametrize("form", ["image_folder", "parquet", "zip of parquet"])
def test_rows_are_the_lines_of_the_csv(form: str, faces: Dataset, tmp_path: Path):
    data = load(FORMS[form](tmp_path, faces))
    rows = torch.cat([split.rows for split in data.splits.values() if split.rows is not None])
    assert rows.tolist() == list(range(192))  # 96 + 48 + 48 faces


@pytest.mark.parametrize("form", ["kaggle_csv", "competition_csv"])
def test_where_a_line_of_a_csv_stands_is_no_row(form: str, faces: Dataset, tmp_path: Path):
    """Behind a line that was removed, FER+'s votes were those of the image before."""
    data = load(FORMS[form](tmp_path, faces))
    assert [split.rows for split in data.splits.values()] == [None] * 3


def test_a_path_may_be_text_and_a_folder_may_hold_only_a_zip(faces: Dataset, tmp_path: Path):
    archive = zipped(kaggle_csv)(tmp_path, faces)
    (tmp_path / "only").mkdir()
    shutil.move(archive, tmp_path / "only")
    assert_same(load(str(tmp_path / "only")), faces)


def test_only_the_wanted_splits_have_to_exist(faces: Dataset, tmp_path: Path):
    folder = parquet(tmp_path, faces)
    (folder / "fer2013-test.parquet").write_bytes(b"broken")
    assert list(load(folder, ("train", "validation")).splits) == ["train", "validation"]
    (folder / "fer2013-test.parquet").unlink()
    assert list(load(folder, None).splits) == ["train", "validation"]
    with pytest.raises(DataError, match="no test split, only train, validation"):
        load(folder)


def test_splits_that_were_not_asked_for_are_named_as_those_that_there_are(
    faces: Dataset, tmp_path: Path
):
    """They were called "empty ones"."""
    folder = parquet(tmp_path, faces)
    (folder / "fer2013-train.parquet").unlink()
    with pytest.raises(DataError, match="no train split, only validation, test"):
        load(folder, ("train",))


def test_competition_train_csv_is_the_train_split(faces: Dataset, tmp_path: Path):
    lines = kaggle_csv(tmp_path, faces).read_text().splitlines()
    train = [line.rpartition(",")[0] for line in lines if line.endswith(("Usage", "Training"))]
    (tmp_path / "fer2013.csv").unlink()
    (tmp_path / "train.csv").write_text("\n".join(train))
    (tmp_path / "test.csv").write_text("pixels\n0 0 0\n")
    for source in (tmp_path, tmp_path / "train.csv"):
        found = load(source, ("train",))["train"]
        assert found.sha256() == faces["train"].sha256()
    with pytest.raises(DataError, match="no validation split, only train"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"columns 'emotion'.*has no labels"):
        load(tmp_path / "test.csv")


@pytest.mark.parametrize("names", [("train_0.csv", "train_1.csv"), ("train.csv", "old/train.csv")])
def test_two_csv_files_of_one_split_are_refused(names, faces: Dataset, tmp_path: Path):
    """The last one took the place of the others without a word."""
    header, *lines = kaggle_csv(tmp_path, faces).read_text().splitlines()
    (tmp_path / "fer2013.csv").unlink()
    (tmp_path / "old").mkdir()
    for name in (*names, "test.csv"):
        text = "\n".join(line.rpartition(",")[0] for line in [header, *lines])
        (tmp_path / name).write_text(text)
    asked: tuple[tuple[SplitName, ...] | None, ...] = (("train",), ("test",), None)
    for splits in asked:
        with pytest.raises(DataError, match=r"2 files hold the train split, .*Make one file"):
            load(tmp_path, splits)
    (tmp_path / names[1]).unlink()
    assert len(load(tmp_path, ("train",))["train"]) == len(lines)


def test_colour_images_of_any_size_in_raf_db_folders(tmp_path: Path):
    """Oracle: constant images, and RAF-DB's own list of classes."""
    for number in range(1, 8):
        folder = tmp_path / "DATASET" / "test" / str(number)
        folder.mkdir(parents=True)
        Image.new("RGB", (100 + number, 100), (10 * number,) * 3).save(folder / "a.jpg")
    split = load(tmp_path, ("test",))["test"]
    by_value = dict(zip(split.images[:, 0, 0, 0].tolist(), split.labels.tolist(), strict=True))
    assert by_value == {10: 5, 20: 2, 30: 1, 40: 3, 50: 4, 60: 0, 70: 6}
    assert all(int(image.max()) == int(image.min()) for image in split.images)


def test_the_split_folder_may_stand_higher_and_needs_no_usage(faces: Dataset, tmp_path: Path):
    """Without numbers after a Usage, images stand in the order of their paths and have no rows."""
    for name in ("b", "a"):
        folder = tmp_path / "valid" / "aligned" / "0_angry"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), ord(name)).save(folder / f"train_{name}.png")
    split = load(tmp_path, ("validation",))["validation"]
    assert split.images[:, 0, 0, 0].tolist() == [ord("a"), ord("b")]
    assert split.labels.tolist() == [0, 0]
    assert split.rows is None


def test_folders_numbered_as_affectnet_are_refused(tmp_path: Path):
    for number in range(8):
        folder = tmp_path / "train" / str(number)
        folder.mkdir(parents=True)
        Image.new("L", (48, 48)).save(folder / "a.png")
    with pytest.raises(DataError, match=r"0, 1, 2, 3, 4, 5, 6, 7.*contempt"):
        load(tmp_path, ("train",))


@pytest.mark.parametrize(("names", "order"), [("0123456", "fer2013.csv"), ("1234567", "RAF-DB")])
def test_the_order_of_numbered_folders_is_told(names: str, order: str, tmp_path: Path):
    """AffectNet's seven, in another order, have the numbers of the CSV: a person has to see it."""
    for name in names:
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        Image.new("L", (48, 48), int(name)).save(folder / "a.png")
    data = load(tmp_path, ("train",))
    assert f"image folders, numbered as in {order}, 1 split" in data.description
    assert at_size(data, 32)["train"].labels.tolist() == data["train"].labels.tolist()


@pytest.mark.parametrize("names", ["123456", "2", ("1", "2", "happy")])
def test_folders_whose_numbers_could_be_of_two_orders_are_refused(names, tmp_path: Path):
    """RAF-DB's without neutral were read in the order of the CSV."""
    for name in names:
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        Image.new("L", (48, 48)).save(folder / "a.png")
    with pytest.raises(DataError, match=r"folders are numbered .*2.*expected 0 to 6.*or 1 to 7"):
        load(tmp_path, ("train",))


def test_unknown_class_folder_is_named(faces: Dataset, tmp_path: Path):
    folder = image_folder(tmp_path, faces)
    (folder / "train" / "happy").rename(folder / "train" / "cheerful")
    with pytest.raises(DataError, match=r"unknown class folder 'cheerful', expected angry"):
        load(folder)


@pytest.mark.parametrize("content", ["", "nothing of use"])
def test_a_folder_without_data_says_what_is_expected(content: str, tmp_path: Path):
    (tmp_path / "notes.txt").write_text(content)
    for source in (tmp_path, tmp_path / "notes.txt", tmp_path / "missing"):
        with pytest.raises(DataError, match=r"expected fer2013\.csv"):
            load(source)


def test_find_prefers_the_argument_then_the_environment_then_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LIGHTFER_CACHE", str(tmp_path))
    monkeypatch.delenv("LIGHTFER_DATA", raising=False)
    assert find() is None
    (tmp_path / "fetched.txt").write_text(f"{tmp_path / 'gone'}\n")
    assert find() is None
    (tmp_path / "fetched.txt").write_text(f"{tmp_path}\n")
    assert find() == str(tmp_path)
    monkeypatch.setenv("LIGHTFER_DATA", "from-environment")
    assert find() == "from-environment"
    assert find(Path("given")) == "given"


def test_synthetic_is_named_so(faces: Dataset):
    data = load("synthetic", ("test",))
    assert (data.name, data.label, list(data.splits)) == ("synthetic", "synthetic faces", ["test"])
    assert json.dumps(data.source)
    assert len(faces["train"]) == 96


def test_the_same_form_is_read_whatever_is_asked_for(faces: Dataset, tmp_path: Path):
    """A folder with Parquet of train, and a whole CSV of other faces: never one for each."""
    parquet(tmp_path, faces)
    for name in ("validation", "test"):
        (tmp_path / f"fer2013-{name}.parquet").unlink()
    kaggle_csv(tmp_path, synthetic_faces({"train": 5, "validation": 3, "test": 2}, seed=9))
    for i in range(2):
        (tmp_path / f"x{i}.heic").touch()
    for split in SPLITS:
        data = load(tmp_path, (split,))
        assert data.form == "CSV"
        assert {len(split) for split in data.splits.values()} <= {5, 3, 2}
    assert load(tmp_path).description == (
        "unverified data, CSV, 3 splits, 10 images (5 train, 3 validation, 2 test); also found "
        "fer2013-train.parquet, 2 .heic, not used"
    )


@pytest.mark.parametrize("form", ["kaggle_csv", "image_folder", "parquet", "converted_csv"])
@pytest.mark.parametrize(
    "names", [["embeddings"], ["train_embeddings", "val_embeddings", "test_embeddings"]]
)
def test_parquet_files_without_images_hide_no_data(
    form: str, names: list[str], faces: Dataset, tmp_path: Path
):
    """One of them beside `fer2013.csv`, or beside Parquet files of each split, was taken alone."""
    FORMS[form](tmp_path, faces)
    for name in names:
        pq.write_table(pa.table({"label": [0], "embedding": [[0.5]]}), tmp_path / f"{name}.parquet")
    data = load(tmp_path)
    assert_same(data, faces)
    assert f"{names[0]}.parquet" in data.unused


def test_of_parquet_files_that_all_lack_a_column_it_is_named(faces: Dataset, tmp_path: Path):
    for path in parquet(tmp_path, faces).glob("*.parquet"):
        pq.write_table(pq.read_table(path).rename_columns({"image": "face"}), path)
    (tmp_path / "README.md").touch()
    with pytest.raises(DataError, match=r"no column image or img .* among row, emotion, face"):
        load(tmp_path)


def test_numbers_without_a_meaning_are_refused(faces: Dataset, tmp_path: Path):
    """Alphabetical labels, as many tools number classes, would be read in another order."""
    folder = parquet(tmp_path, faces)
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.rename_columns({"emotion": "label"}), path)
    with pytest.raises(DataError, match=r"nothing tells what the numbers in the column label mean"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        (pa.int64(), {"label": {"dtype": "int64", "_type": "Value"}}),
        (pa.string(), {"label": {"dtype": "string", "_type": "Value"}}),
        (pa.string(), None),
        (pa.int64(), {"label": {"names": list("0123456"), "_type": "ClassLabel"}}),
    ],
)
def test_the_type_of_numbers_is_not_their_meaning(
    kind: pa.DataType, metadata: dict | None, faces: Dataset, tmp_path: Path
):
    """Hugging Face writes it of every column; such numbers were read in the order of the CSV, and
    so were digits in place of names.
    """
    folder = parquet(tmp_path, faces)
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        table = table.append_column("label", table["emotion"].cast(kind)).drop_columns("emotion")
        if metadata:
            info = {"huggingface": json.dumps({"info": {"features": metadata}})}
            table = table.replace_schema_metadata(info)
        pq.write_table(table, path)
    with pytest.raises(DataError, match=r"nothing tells what the numbers in the column label mean"):
        load(folder)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("emotion", pa.array([True, False]), "unknown label True, expected 0 to 6"),
        ("row", pa.array([2**63, 2**64 - 1], pa.uint64()), "huge or repeated values"),
        ("row", pa.array([False, True]), "huge or repeated values"),
    ],
)
def test_a_column_of_another_kind_of_number_is_refused(column, values, message, tmp_path: Path):
    """True was disgust, and a row without a place in 64 bits a ValueError."""
    columns = {"emotion": [0, 1], "row": [0, 1], "pixels": [" ".join(["9"] * 2304)] * 2}
    pq.write_table(pa.table({**columns, column: values}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=message):
        load(tmp_path, ("train",))


def test_a_name_that_no_file_can_have_is_one_error():
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(DataError, match="Check the"):
            load(name)


@pytest.mark.parametrize("size", [0, -1, 1.5, 4096])
def test_a_size_that_no_image_can_have_is_one_error(size, small_csv: Path):
    """As a weight file may have in its card: the data of it would not fit into memory."""
    for source in (small_csv, "synthetic"):
        with pytest.raises(DataError, match=rf"size is {size}, expected 1 to 224 pixels"):
            load(source, size=size)
    with pytest.raises(DataError, match=r"expected 1 to 224 pixels"):
        at_size(load(small_csv), size)


@pytest.mark.parametrize("source", [None, 3, b"fer2013.csv", ["fer2013.csv"]])
def test_what_is_no_source_is_one_error(source):
    with pytest.raises(DataError, match="expected a path, NAME:PATH or 'synthetic'"):
        load(source)


def test_two_columns_that_could_be_meant_are_refused(faces: Dataset, tmp_path: Path):
    folder = parquet(tmp_path, faces)
    path = folder / "fer2013-test.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("label", table["emotion"]), path)
    with pytest.raises(DataError, match=r"emotion and label could both be meant"):
        load(folder)
    for name in ("emotion", "Emotion "):  # the first was a KeyError, of the second the last one won
        pq.write_table(table.append_column(name, table["emotion"]), path)
        with pytest.raises(DataError, match=r"2 columns 'emotion', expected one"):
            load(folder)


def csv_of_each_split(folder: Path, faces: Dataset, *, usage: bool = True) -> Path:
    """`train.csv`, `validation.csv` and `test.csv`, which may keep the column Usage."""
    header, *lines = kaggle_csv(folder, faces).read_text().splitlines()
    (folder / "fer2013.csv").unlink()
    for name in SPLITS:
        of = [header, *(line for line in lines if line.endswith(USAGE[name]))]
        of = of if usage else [line.rpartition(",")[0] for line in of]
        (folder / f"{name}.csv").write_text("\n".join(of))
    return folder


def parquet_of_each_split(folder: Path, faces: Dataset) -> Path:
    parquet(folder, faces)
    for name in SPLITS:
        path = folder / f"fer2013-{name}.parquet"
        table = pq.read_table(path)
        pq.write_table(table.append_column("Usage", [[USAGE[name]] * len(table)]), path)
    return folder


@pytest.mark.parametrize("write", [csv_of_each_split, parquet_of_each_split])
def test_files_of_each_split_may_keep_the_column_usage(write, faces: Dataset, tmp_path: Path):
    """Of Parquet files train was taken alone, and CSV files were too many."""
    folder = write(tmp_path, faces)
    assert_same(load(folder), faces)
    assert list(load(folder, ("validation",)).splits) == ["validation"]


def test_a_split_is_found_by_usage_in_a_file_of_another_name(faces: Dataset, tmp_path: Path):
    """All three were found together, but of train and validation alone only train."""
    csv_of_each_split(tmp_path, faces)
    validation = tmp_path / "validation.csv"
    with (tmp_path / "test.csv").open("a") as file:
        file.write("\n" + "\n".join(validation.read_text().splitlines()[1:]))
    validation.unlink()
    assert_same(load(tmp_path), faces)
    assert list(load(tmp_path, ("train", "validation")).splits) == ["train", "validation"]


def test_two_files_that_hold_one_split_by_usage_are_refused(faces: Dataset, tmp_path: Path):
    csv_of_each_split(tmp_path, faces)
    texts = [(tmp_path / f"{name}.csv").read_text() for name in ("train", "test")]
    (tmp_path / "train.csv").write_text("\n".join([texts[0], *texts[1].splitlines()[1:]]))
    with pytest.raises(DataError, match=r"train\.csv: by its column Usage it holds the test split"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Train/Happiness", "Val/Happiness", "folder says validation, its name train"),
        ("Val/Happiness", "Train/Happiness", "folder says train, its name validation"),
        ("Test/Happiness", "Val/Happiness", "folder says validation, its name test"),
    ],
)
def test_an_image_whose_name_and_folder_tell_two_splits_is_refused(
    old: str, new: str, said: str, faces: Dataset, tmp_path: Path
):
    """The name was believed: images that were moved into a validation folder were trained on."""
    folder = three_folders(tmp_path, faces)
    path = next((folder / old).iterdir())
    path.rename(folder / new / path.name)
    with pytest.raises(DataError, match=rf"{path.name}: its {said}\. Rename one of them"):
        load(folder)


@pytest.mark.parametrize("archive", [False, True])
def test_a_split_that_lies_there_twice_is_refused(archive: bool, faces: Dataset, tmp_path: Path):
    """As in a folder that holds itself again: each image counted twice."""
    folder = image_folder(tmp_path, faces)
    shutil.copytree(folder / "train", folder / "images" / "train")
    if archive:
        folder = Path(shutil.make_archive(str(tmp_path / "data"), "zip", folder))
    with pytest.raises(DataError, match=r"images/train/.* and train/.* the train split lies there"):
        load(folder)


def test_other_images_of_the_same_names_are_no_copies(tmp_path: Path):
    for shade, name in enumerate("ab"):
        folder = tmp_path / "train" / name / "happy"
        folder.mkdir(parents=True)
        Image.new("L", (48, 48), shade).save(folder / "1.png")
    assert len(load(tmp_path, ("train",))["train"]) == 2


@pytest.mark.parametrize("other", ["picture", "pointer"])
def test_what_is_wrong_with_another_form_hides_no_data(other: str, faces: Dataset, tmp_path: Path):
    """A picture in a folder of no class, and a file that is only a pointer to Parquet."""
    if other == "picture":
        csv_of_each_split(tmp_path, faces, usage=False)
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "plot.png").write_bytes(b"x")
    else:
        kaggle_csv(tmp_path, faces)
        (tmp_path / "features.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    assert_same(load(tmp_path), faces)


def test_a_picture_beside_parquet_hides_nothing(faces: Dataset, tmp_path: Path):
    (parquet(tmp_path, faces) / "fer2013-validation.parquet").unlink()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "example.png").write_bytes(b"x")
    assert load(tmp_path, ("test",))["test"].sha256() == faces["test"].sha256()


def test_what_is_less_takes_the_place_of_nothing_damaged(faces: Dataset, tmp_path: Path):
    csv_of_each_split(tmp_path, faces, usage=False)
    for name in ("validation", "test"):
        (tmp_path / f"{name}.csv").unlink()
    (parquet(tmp_path, faces) / "fer2013-train.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"train\.parquet: not a readable Parquet"):
        load(tmp_path, ("train",))
