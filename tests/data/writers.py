"""The forms in which users have FER2013, written from a small data set. Used by several tests."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lightfer.data import CLASSES, SPLITS, Dataset

USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
Row = tuple[int, int, str, bytes]


def rows(faces: Dataset) -> Iterator[Row]:
    """Line of the original CSV, label, split, 2304 pixels; in the order of the CSV."""
    row = 0
    for name in SPLITS:
        for image, label in zip(faces[name].images, faces[name].labels.tolist(), strict=True):
            yield row, label, name, image.numpy().tobytes()
            row += 1


def png(pixels: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("L", (48, 48), pixels).save(buffer, "PNG")
    return buffer.getvalue()


def kaggle_csv(folder: Path, faces: Dataset) -> Path:
    lines = ["emotion,pixels,Usage"]
    lines += [f"{k},{' '.join(map(str, p))},{USAGE[s]}" for _, k, s, p in rows(faces)]
    (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return folder / "fer2013.csv"


def competition_csv(folder: Path, faces: Dataset) -> Path:
    """Blanks before the column names, other order; beside it the files without use for us."""
    lines = ["emotion, Usage, pixels"]
    lines += [f"{k},{USAGE[s]},{' '.join(map(str, p))}" for _, k, s, p in rows(faces)]
    (folder / "icml_face_data.csv").write_text("\n".join(lines) + "\n")
    (folder / "test.csv").write_text("pixels\n0 1 2\n")
    (folder / "example_submission.csv").write_text("")
    return folder


def image_folder(folder: Path, faces: Dataset) -> Path:
    """As Kaggle's: two folders, three splits in the file names; PNG to keep the pixels."""
    for row, label, split, pixels in rows(faces):
        place = folder / "faces" / ("train" if split == "train" else "test") / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{USAGE[split]}_{row}.png").write_bytes(png(pixels))
    (folder / "faces" / ".DS_Store").write_text("what macOS adds")
    return folder / "faces"


def three_folders(folder: Path, faces: Dataset) -> Path:
    """Three split folders with other spellings, other words for the classes."""
    words = ("Anger", "Disgusted", "Fearful", "Happiness", "SADNESS", "surprised", "Neutral")
    for row, label, split, pixels in rows(faces):
        place = folder / "data" / {"validation": "Val"}.get(split, split.title()) / words[label]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{USAGE[split]}_{row}.png").write_bytes(png(pixels))
    return folder / "data"


def parquet(folder: Path, faces: Dataset) -> Path:
    """One file per split, with the columns of this project, the rows shuffled."""
    for name in SPLITS:
        of = [r for r in rows(faces) if r[2] == name][::-1]
        table = pa.table(
            {
                "row": pa.array([r[0] for r in of], pa.int32()),
                "emotion": pa.array([r[1] for r in of], pa.uint8()),
                "image": [png(r[3]) for r in of],
            }
        )
        pq.write_table(table, folder / f"fer2013-{name}.parquet")
    return folder


def hugging_face(folder: Path, faces: Dataset) -> Path:
    """Structs of bytes, alphabetical class names in the metadata, two shards of train."""
    names = sorted(CLASSES)
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (folder / "data").mkdir()
    for name in SPLITS:
        of = [r for r in rows(faces) if r[2] == name]
        shards = [of[:1], of[1:]] if name == "train" and len(of) > 1 else [of]
        for i, shard in enumerate(shards):
            table = pa.table(
                {
                    "image": [{"bytes": png(r[3]), "path": None} for r in shard],
                    "label": [names.index(CLASSES[r[1]]) for r in shard],
                }
            ).replace_schema_metadata(metadata)
            pq.write_table(
                table, folder / "data" / f"{name}-{i:05}-of-{len(shards):05}-0a1b.parquet"
            )
    return folder


def converted_csv(folder: Path, faces: Dataset) -> Path:
    """What Hugging Face makes of an uploaded CSV: one split, with Usage and pixels as text."""
    of = list(rows(faces))
    table = pa.table(
        {
            "emotion": [r[1] for r in of],
            "pixels": [" ".join(map(str, r[3])) for r in of],
            "Usage": [USAGE[r[2]] for r in of],
        }
    )
    (folder / "default" / "train").mkdir(parents=True)
    pq.write_table(table, folder / "default" / "train" / "0000.parquet")
    return folder


def zipped(write: Callable[[Path, Dataset], Path]) -> Callable[[Path, Dataset], Path]:
    def write_zip(folder: Path, faces: Dataset) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        write(inner, faces)
        return Path(shutil.make_archive(str(folder / "archive"), "zip", inner))

    return write_zip


FORMS: dict[str, Callable[[Path, Dataset], Path]] = {
    "kaggle_csv": kaggle_csv,
    "competition_csv": competition_csv,
    "image_folder": image_folder,
    "three_folders": three_folders,
    "parquet": parquet,
    "hugging_face": hugging_face,
    "converted_csv": converted_csv,
    "zip of kaggle_csv": zipped(kaggle_csv),
    "zip of competition_csv": zipped(competition_csv),
    "zip of image_folder": zipped(image_folder),
    "zip of parquet": zipped(parquet),
}
