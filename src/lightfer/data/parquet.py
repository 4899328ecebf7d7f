"""FER2013 as Parquet: `fer2013-{train,validation,test}.parquet`, one encoded image per row."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from lightfer.data.dataset import Split, SplitName


def read_parquet(path: Path) -> Split:
    """Read one file with the columns `emotion` (0 to 6) and `image` (encoded bytes)."""
    table = pq.read_table(path, columns=["emotion", "image"])
    images = np.stack(
        [np.asarray(Image.open(io.BytesIO(b.as_py())).convert("L")) for b in table["image"]]
    )
    labels = table["emotion"].to_numpy().astype(np.int64)
    return Split(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels))


def find_parquet(folder: Path) -> dict[SplitName, Path]:
    found: dict[SplitName, Path] = {}
    for split in ("train", "validation", "test"):
        path = folder / f"fer2013-{split}.parquet"
        if path.exists():
            found[split] = path
    return found
