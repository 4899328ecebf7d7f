"""Parquet files with pictures, for `lightfer.inference.predict.shards`: rows of a row group.

Arrow reads a row group from its first row on. So that a shard of a group that is cut costs little
more than its own rows, a group that is large is not cut; and the file is read page by page, never
the group at once. Needs no torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lightfer.data.names import IMAGE_COLUMNS
from lightfer.errors import ArgumentError, LightferError
from lightfer.inference.predict.sources import Item

MOST_BYTES = 1 << 30  # of the pictures of a row group that is cut
READ_BYTES = 8 << 20  # at once, but for a page that is larger
BATCH = 64  # rows that are unpacked at once


def row_groups(store: Any, name: str, path: str, size: int) -> list[int]:
    """The number of rows of each, which are to be cut into pieces of `size`.

    Raises ArgumentError where there is no column of pictures, LightferError for a group that is too
    large to be cut, and as `_opened`.
    """
    with _opened(store, path) as file:
        column = _column(file, name)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    for number, group in enumerate(groups):
        columns = [group.column(i) for i in range(group.num_columns)]
        inside = [c for c in columns if f"{c.path_in_schema}.".startswith(f"{column}.")]
        unpacked = sum(c.total_uncompressed_size for c in inside)
        if group.num_rows > size and unpacked > MOST_BYTES:
            raise LightferError(
                f"{name}: row group {number} has {group.num_rows:,} rows and {unpacked:,} bytes, "
                f"expected at most {size:,} rows or {MOST_BYTES:,} bytes, as each shard has to "
                f"read it from its first row: write the file with row_group_size={size}"
            )
    return [group.num_rows for group in groups]


def values(store: Any, path: str, group: int, first: int, rows: int) -> Iterator[Any]:
    """What stands in the column of pictures in some rows of a row group. Raises as `_opened`."""
    with _opened(store, path) as file:
        column, row, end = _column(file, path), 0, first + rows
        for batch in file.iter_batches(BATCH, [group], [column], use_threads=False):
            for i in range(max(row, first), min(row + len(batch), end)):
                yield batch.column(0)[i - row].as_py()
            row += len(batch)
            if row >= end:
                return


def item_of(name: str, value: Any) -> Item:
    """Bytes of a file, a struct with them, or the pixels of a square as text."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, str):
        try:
            pixels = np.array(value.split(), np.uint8)
            side = round(len(pixels) ** 0.5)
            return Item(name, pixels.reshape(side, side))
        except (ValueError, OverflowError):
            return Item(name, None, error="text that is not the pixels of a square, from 0 to 255")
    if not isinstance(value, bytes):
        return Item(name, None, error=f"{type(value).__name__}, expected the bytes of a picture")
    return Item(name, value)


class _Watched:
    """A file that keeps the error of its storage, which Arrow's of the content looks like."""

    closed = False

    def __init__(self, file: Any) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell
        self.error: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self.file.read(size)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def _opened(store: Any, path: str) -> Iterator[pq.ParquetFile]:
    """The file while it is open. Raises OSError, in the block, too, for what its storage does not
    give, and another ArrowException for what is no Parquet file or a damaged one.
    """
    with store.open_input_file(path) as source:
        watched = _Watched(source)
        try:
            yield pq.ParquetFile(watched, buffer_size=READ_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            if watched.error is not None:
                raise watched.error  # noqa: B904 (it may be this one)
            if isinstance(error, OSError):
                raise pa.ArrowInvalid(str(error)) from error
            raise


def _column(file: pq.ParquetFile, name: str) -> str:
    names = {column.strip().lower(): column for column in file.schema_arrow.names}
    for column in IMAGE_COLUMNS:
        if column in names:
            return names[column]
    raise ArgumentError(
        f"{name} has no column {', '.join(IMAGE_COLUMNS)} among {', '.join(names):.100}"
    )
