"""Other data sets in the form of their descriptions; oracle: the drawn faces they are made of."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightfer.data import DataError, Dataset, Split, load
from lightfer.data.audit import audit
from lightfer.data.dataset import WITH_CONTEMPT, SplitName
from lightfer.data.official import class_counts
from lightfer.data.sets import SETS

WORDS = dict(zip(range(8), WITH_CONTEMPT, strict=True))


def code_of(name: str) -> dict[int, str]:
    """Index of a class -> what the files of the set call it."""
    return {WITH_CONTEMPT.index(c): said for said, c in SETS[name].mapping.items() if c}


def picture(face: torch.Tensor, side: int, margin: int = 0, mode: str = "RGB") -> Image.Image:
    """The face (1, 48, 48) as a picture of `side` pixels, in the middle of a white margin."""
    image = Image.fromarray(face[0].numpy()).resize((side, side), Image.Resampling.BILINEAR)
    whole = Image.new("L", (side + 2 * margin, side + 2 * margin), 255)
    whole.paste(image, (margin, margin))
    return whole.convert(mode)


def raf_db(folder: Path, faces: Dataset) -> Path:
    """12 train and 6 test faces; the originals lie beside the aligned ones."""
    (folder / "Image/aligned").mkdir(parents=True)
    (folder / "Image/original").mkdir()
    (folder / "EmoLabel").mkdir()
    lines = []
    pieces: tuple[tuple[SplitName, int], ...] = (("test", 6), ("train", 12))
    for split, n in pieces:
        for i in range(n):
            name, face = f"{split}_{i + 1:05}", faces[split].images[i]
            picture(face, 100).save(folder / f"Image/aligned/{name}_aligned.jpg", quality=95)
            picture(face, 100, 70).save(folder / f"Image/original/{name}.jpg")
            lines.append(f"{name}.jpg {code_of('rafdb')[int(faces[split].labels[i])]}")
    (folder / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return folder


HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression"


def affectnet(folder: Path, faces: Dataset) -> Path:
    """12 and 6 faces, and one each of contempt and of no face; a quarter of margin."""
    pieces: tuple[tuple[str, SplitName, int], ...]
    pieces = (("training", "train", 12), ("validation", "test", 6))
    for file, split, n in pieces:
        lines = [f"{HEADER},valence,arousal"]
        for i in range(n + 2):
            label = code_of("affectnet")[int(faces[split].labels[i])] if i < n else "7"
            label = "10" if i == n + 1 else label
            place = f"{i % 3}/{split}{i:02}.jpg"
            path = folder / "Manually_Annotated_Images" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(faces[split].images[i], 96, 24).save(path, quality=95)
            lines.append(f"{place},26,26,92,92,1.5;2.5,{label},0.1,-0.2")
        (folder / f"{file}.csv").write_text("\n".join(lines) + "\n")
    return folder


def expw(folder: Path, faces: Dataset) -> Path:
    """Two faces in each of three photographs."""
    (folder / "origin").mkdir(parents=True)
    lines = []
    for i in range(3):
        photo = Image.new("RGB", (300, 150), "white")
        for j in range(2):
            face = 2 * i + j
            photo.paste(picture(faces["test"].images[face], 96), (20 + 150 * j, 30))
            left, top = 22 + 150 * j, 32
            label = int(faces["test"].labels[face])
            lines.append(f"p_{i}.jpg {j} {top} {left} {left + 92} {top + 92} 53.2 {label}")
        photo.save(folder / f"origin/p_{i}.jpg", quality=95)
    (folder / "label.lst").write_text("\n".join(lines) + "\n")
    return folder


def ck_plus(folder: Path, faces: Dataset) -> Path:
    """Six labelled sequences of two small frames, one of contempt, one without a label."""
    for i in range(8):
        sequence, name = f"S{i:03}/001", f"S{i:03}_001_00000002"
        place = folder / "cohn-kanade-images" / sequence
        place.mkdir(parents=True)
        picture(faces["train"].images[i], 96, mode="L").save(place / f"S{i:03}_001_00000001.png")
        face = faces["test"].images[i]
        picture(face, 96, mode="L").save(place / f"{name}.png")
        texts = folder / "Emotion" / sequence
        texts.mkdir(parents=True)
        label = code_of("ckplus")[int(faces["test"].labels[i])] if i < 6 else "2"
        if i < 7:
            (texts / f"{name}_emotion.txt").write_text(f"   {label}.0000000e+00\n")
    return folder


def ck_48(folder: Path, faces: Dataset) -> Path:
    for i in range(6):
        place = folder / "CK+48" / WORDS[int(faces["test"].labels[i])]
        place.mkdir(parents=True, exist_ok=True)
        picture(faces["test"].images[i], 48, mode="L").save(place / f"S{i:03}_001_00000009.png")
    return folder


def jaffe(folder: Path, faces: Dataset) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(6):
        code = code_of("jaffe")[int(faces["test"].labels[i])]
        image = picture(faces["test"].images[i], 96, mode="L")
        image.save(folder / f"KA.{code}1.{i + 1}.tiff")
    return folder


WRITERS: dict[str, tuple[str, Callable[[Path, Dataset], Path]]] = {
    "RAF-DB": ("rafdb", raf_db),
    "AffectNet": ("affectnet", affectnet),
    "ExpW": ("expw", expw),
    "CK+": ("ckplus", ck_plus),
    "CK+48": ("ckplus", ck_48),
    "JAFFE": ("jaffe", jaffe),
}


def assert_like(found: Split, wanted: Split, n: int) -> None:
    """The first `n` faces in any order, but for JPEG, resampling and a box of whole pixels."""
    pairs = found.images[:, None].float() - wanted.images[None, :n].float()
    nearest = (distances := pairs.abs().mean((2, 3, 4))).argmin(1)
    assert sorted(nearest.tolist()) == list(range(n))
    assert found.labels.tolist() == wanted.labels[nearest].tolist()
    assert distances.min(1).values.max() < 11
    assert distances.sort(1).values[:, 1].min() > 16  # of the next face


@pytest.mark.parametrize("form", WRITERS)
def test_each_set_gives_its_faces_and_classes(form: str, faces: Dataset, tmp_path: Path):
    name, write = WRITERS[form]
    data = load(f"{name}:{write(tmp_path / 'set', faces)}", None)
    assert (data.name, data.verified, data.size) == (name, False, 48)
    assert data.label.startswith(f"{SETS[name].title} (not its official class counts: ")
    assert_like(data["test"], faces["test"], 6)
    assert audit(data).mapping == data.mapping
    shown = {said: of for said, of in (data.mapping or {}).items() if of != "left out"}
    assert shown == {said: of for said, of in SETS[name].mapping.items() if of in data.classes}


@pytest.mark.parametrize("form", ["RAF-DB", "AffectNet"])
def test_validation_is_held_out_of_train_where_it_is_not_official(
    form: str, faces: Dataset, tmp_path: Path
):
    name, write = WRITERS[form]
    data = load(f"{name}:{write(tmp_path / 'set', faces)}")
    out = torch.arange(12) % 10 == 0
    assert_like(data["validation"], faces["train"].where(torch.arange(96) % 10 == 0), 2)
    kept = Split(faces["train"].images[:12][~out], faces["train"].labels[:12][~out])
    assert_like(data["train"], kept, 10)


@pytest.mark.parametrize(
    ("name", "write", "n"), [("affectnet8", affectnet, 7), ("ckplus8", ck_plus, 7)]
)
def test_contempt_stays_where_eight_classes_are_asked_for(name, write, n, faces, tmp_path: Path):
    data = load(f"{name}:{write(tmp_path / 'set', faces)}", ("test",))
    assert data.classes == WITH_CONTEMPT
    assert (len(data["test"]), int(data["test"].labels[-1])) == (7, 7)
    assert data.label.startswith(f"{SETS[name[:-1]].title}, 8 classes (")


def test_larger_images_are_made_of_the_pictures_and_not_of_small_ones(faces, tmp_path: Path):
    source = f"rafdb:{raf_db(tmp_path / 'set', faces)}"
    small, large = load(source, ("test",)), load(source, ("test",), 96)
    assert (small.size, large.size, large["test"].images.shape[2:]) == (48, 96, (96, 96))
    path = tmp_path / "set/Image/aligned/test_00001_aligned.jpg"
    expected = Image.open(path).convert("L").resize((96, 96), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(large["test"].images[0, 0].numpy(), np.asarray(expected))


def test_fer2013_stays_what_it_is_at_another_size(small_csv: Path):
    small, large = load(small_csv), load(small_csv, size=64)
    assert (large.name, large.verification) == (small.name, small.verification)
    expected = Image.fromarray(small["test"].images[5, 0].numpy())
    expected = np.asarray(expected.resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(large["test"].images[5, 0].numpy(), expected)


def test_a_portrait_is_cropped_about_its_face(astronaut: Image.Image, tmp_path: Path):
    astronaut.convert("L").save(tmp_path / "KA.HA1.1.tiff")
    face = load(f"jaffe:{tmp_path}", ("test",))["test"].images[0, 0].float()
    whole = torch.from_numpy(np.array(astronaut.convert("L").resize((48, 48)))).float()
    assert (face - whole).abs().mean() > 20
    crop = astronaut.convert("L").crop((160, 60, 280, 180)).resize((48, 48))  # her face, by eye
    corner = torch.from_numpy(np.array(crop)).float()
    assert np.corrcoef(face.flatten(), corner.flatten())[0, 1] > 0.5


def changed(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def removed(pattern: str) -> Callable[[Path], None]:
    return lambda folder: sorted(folder.rglob(pattern))[0].unlink()


def overwritten(pattern: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: sorted(folder.rglob(pattern))[0].write_bytes(content)


LIST = "EmoLabel/list_patition_label.txt"
TEXT = "S000_001_00000002_emotion.txt"
DAMAGES = [
    ("RAF-DB", removed("list_*"), "0 files list_patition_label.txt among 36, expected one"),
    ("RAF-DB", removed("test_00001_aligned.jpg"), "line 1: no image test_00001_aligned.jpg"),
    ("RAF-DB", changed(LIST, "test_00001.jpg ", "test_00001.jpg 9"), "line 1: label 9., expected"),
    ("RAF-DB", changed(LIST, "test_00002", "test_00001"), "line 2: test_00001.jpg stands there tw"),
    ("RAF-DB", changed(LIST, "test_00001.jpg", "x"), "line 1: .x .., expected as in .train_00001"),
    ("RAF-DB", overwritten("list_*", b"\xff\xfe\x00"), "list_patition_label.txt: not UTF-8"),
    (
        "RAF-DB",
        overwritten("test_*_aligned.jpg", b"\xff\xd8\xff"),
        "aligned.jpg: (brok|not an)",
    ),
    ("AffectNet", removed("*.csv"), "no train split"),
    ("AffectNet", changed("validation.csv", "face_x", "x"), "line 1: no column face_x among"),
    ("AffectNet", changed("validation.csv", ",0.1,-0.2", ""), "line 2: 7 columns, expected 9"),
    (
        "AffectNet",
        changed("validation.csv", ",26,26,", ",a,26,"),
        "the face's? box|the box",
    ),
    ("AffectNet", changed("validation.csv", ",92,92,", ",0,92,"), "line 2: a box of 0x92 pixels"),
    (
        "AffectNet",
        changed("validation.csv", ",26,26,", ",900,26,"),
        r"\(900, 26, 92, 92\) is",
    ),
    ("AffectNet", changed("validation.csv", "0/test00", "0/gone"), "line 2: no picture 0/gone.jpg"),
    ("AffectNet", changed("validation.csv", ",92,92,", f",{10**9},92,"), "or far larger"),
    ("AffectNet", changed("validation.csv", "0.1,", "x" * 200_000), "line 2: not readable as CSV"),
    ("AffectNet", changed("validation.csv", "face_x", "x" * 200_000), "line 1: not readable as C"),
    ("AffectNet", overwritten("validation.csv", HEADER.encode()), "validation.csv: no face in it"),
    ("AffectNet", overwritten("training.csv", HEADER.encode()), "train.*csv: no face in it"),
    ("ExpW", overwritten("label.lst", b""), "label.lst: no face in it that has a class"),
    ("ExpW", changed("label.lst", " 114 ", f" {10**30} "), "or far larger"),
    ("ExpW", changed("label.lst", " 53.2", ""), "line 1: 'p_0.jpg 0 32 22 114 124 .', expected im"),
    ("ExpW", changed("label.lst", "p_0.jpg", "q.jpg"), "line 1: no picture q.jpg"),
    ("ExpW", changed("label.lst", " 114 ", " 22 "), "line 1: label . and a box of 0x92"),
    ("CK+", overwritten(TEXT, b"happy"), f"{TEXT}: no label from 0 to 7"),
    ("CK+", removed("S000_001_00000002.png"), f"{TEXT}: no frame of its name"),
    ("CK+48", lambda folder: next(folder.glob("*/*")).rename(folder / "x"), "'x' is no class"),
    ("JAFFE", overwritten("KA*1.tiff", b""), r"1\.tiff: not an image"),
    ("JAFFE", lambda f: next(f.iterdir()).rename(f / "KA.XX1.1.tiff"), "not called as KA.AN1.39"),
]


@pytest.mark.parametrize(("form", "damage", "message"), DAMAGES)
def test_the_damaged_is_refused_with_its_place(form, damage, message, faces, tmp_path: Path):
    name, write = WRITERS[form]
    folder = write(tmp_path / "set", faces)
    damage(folder)
    with pytest.raises(DataError, match=message):
        load(
            f"{name}:{folder}", ("train", "validation", "test") if "train" in message else ("test",)
        )


def test_a_picture_without_a_face_or_opencv_is_one_clear_error(faces, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    Image.new("L", (200, 200), 90).save(buffer, "TIFF")
    (tmp_path / "KA.HA1.1.tiff").write_bytes(buffer.getvalue())
    monkeypatch.setattr("lightfer.data.images.default_finder", lambda: lambda grey: [])
    with pytest.raises(DataError, match="no face found"):
        load(f"jaffe:{tmp_path}", ("test",))
    monkeypatch.setattr("lightfer.data.images.default_finder", lambda: None)
    with pytest.raises(DataError, match=r"finding the face in it needs OpenCV: pip install"):
        load(f"jaffe:{tmp_path}", ("test",))


def test_official_counts_are_those_of_the_descriptions():
    """15,339 faces of RAF-DB, 291,651 of AffectNet, 91,793 of ExpW, 327 of CK+, 213 of JAFFE."""
    sums = {name: sum(map(sum, of.counts.values())) for name, of in SETS.items()}
    assert sums == {
        "rafdb": 15_339,
        "affectnet": 291_651,
        "expw": 91_793,
        "ckplus": 327,
        "jaffe": 213,
    }


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_alone_is_compared_with_all_of_what_was_read(
    split: SplitName, faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Official train images were called others, as a tenth of them is validation."""
    of: list[tuple[SplitName, int]] = [("train", 12), ("test", 6)]
    counts = {name: class_counts(faces[name].labels[:n], 8) for name, n in of}
    known = {**SETS, "rafdb": replace(SETS["rafdb"], counts=counts)}
    monkeypatch.setattr("lightfer.data.loading.SETS", known)
    assert load(f"rafdb:{raf_db(tmp_path / 'set', faces)}", (split,)).label == "RAF-DB"
