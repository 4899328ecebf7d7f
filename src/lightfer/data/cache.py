"""Decoded images kept between runs, so that 300 MB of text are parsed once.

    CACHE/images/KEY.npy      uint8 (N, S, S), all splits of one part one after the other
    CACHE/images/KEY.json     their names, labels, rows and checksums; written last
    CACHE/index/STAMPS.txt    KEY

KEY is the SHA-256 of what was read (the files' bytes, and what their labels mean where other files
decide it). So that unchanged files are not hashed again, the index leads to it from the hash of
their paths, sizes and times of last modification and of last change; a file that was rewritten,
even with its old size and modification time, is noticed. Pixels and labels are checked against
their CRC-32 whenever they are read; whatever is damaged is read anew from the source. A cache that
cannot be written is no error.
"""

import hashlib
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from lightfer._files import atomic_path, cache_folder, read_json, write_text
from lightfer.data.dataset import Split, SplitName, Verification
from lightfer.data.forms import Part
from lightfer.data.members import reading

FORMAT = "lightfer cache 5"
"""Part of every key: to be changed with every change of what a reader makes of a file."""
KEPT = 24
"""Arrays in the cache; the oldest go first. One of FER2013 has 83 MB."""


Recognised = dict[SplitName, tuple[Split, Verification]]


def cached(part: Part, size: int, read: Callable[[Part, int], Recognised]) -> Recognised:
    """What `read` makes of `part`, with images of `size` pixels a side, from the cache where it is
    there. Raises DataError.
    """
    folder = cache_folder()
    index = folder / "index" / f"{_stamps(part, size)}.txt"
    with suppress(OSError, UnicodeError):
        if (found := _load(folder, index.read_text())) is not None:
            return found
    key = _content(part, size)
    found = _load(folder, key)
    if found is None:
        found = read(part, size)
        if not found:
            return found
        with suppress(OSError):
            _store(folder, key, found)
            _prune(folder)
    with suppress(OSError):
        write_text(index, key)
    return found


def _heading(part: Part, size: int) -> bytes:
    heading = f"{FORMAT} {part.form} {part.splits} {size}{part.about}\n"
    return heading.encode(errors="surrogateescape")


def _stamps(part: Part, size: int) -> str:
    digest = hashlib.sha256(_heading(part, size))
    for member in part.members:
        where = f"{member.file} {member.name} {member.stamp}\n"
        digest.update(where.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _content(part: Part, size: int) -> str:
    digest = hashlib.sha256(_heading(part, size))
    for member in part.members:
        digest.update(f"{member.name}\n".encode(errors="surrogateescape"))
    for file in dict.fromkeys(member.file for member in part.members):
        with reading(file), Path(file).open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _store(folder: Path, key: str, found: Recognised) -> None:
    path = folder / "images" / f"{key}.npy"
    images = np.concatenate([split.images.numpy() for split, _ in found.values()])
    described = {
        name: {
            "labels": _encode(split.labels.numpy().astype("u1")),
            "rows": None if split.rows is None else _encode(split.rows.numpy().astype("<i8")),
            "verification": verification,
        }
        for name, (split, verification) in found.items()
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, images[:, 0])
    text = json.dumps(described)
    crc32 = {"images": zlib.crc32(images.data), "splits": zlib.crc32(text.encode())}
    write_text(path.with_suffix(".json"), json.dumps({"crc32": crc32, "splits": text}))


def _load(folder: Path, key: str) -> Recognised | None:
    """The entry `key`, its images memory-mapped; None where it is missing or damaged."""
    path = folder / "images" / f"{key}.npy"
    try:
        entry = read_json(path.with_suffix(".json").read_text())
        text, crc32 = entry["splits"], entry["crc32"]
        array = np.load(path, mmap_mode="c", allow_pickle=False)
        if (
            zlib.crc32(text.encode()) != crc32["splits"]
            or zlib.crc32(array.data) != crc32["images"]
        ):
            return None
        described = read_json(text)
    except Exception:  # NumPy hands a damaged header to Python's parser, which raises anything
        return None
    images = torch.from_numpy(array).unsqueeze(1)
    found: Recognised = {}
    start = 0
    for name in described:
        labels = _decode(described[name]["labels"], "u1")
        rows = described[name]["rows"]
        split = Split(
            images[start : start + len(labels)],
            torch.from_numpy(labels.astype(np.int64)),
            None if rows is None else torch.from_numpy(_decode(rows, "<i8")),
        )
        start += len(labels)
        found[name] = split, described[name]["verification"]
    return found


def _prune(folder: Path) -> None:
    """Remove the oldest entries."""
    images = sorted((folder / "images").glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for path in images[:-KEPT]:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


def _encode(values: np.ndarray) -> str:
    return b64encode(values.tobytes()).decode()


def _decode(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), dtype).copy()
