"""Pictures in Parquet files: how much of a row group is in memory, and how often it is read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from lightfer.errors import LightferError
from lightfer.inference.predict import tables
from tests.inference.predict.test_shards import labelled


def test_of_a_row_group_a_small_part_is_in_memory(tmp_path: Path):
    """Plain `pq.write_table` makes one of a million rows, and each worker held it whole."""
    path, random = tmp_path / "a.parquet", np.random.default_rng(0)
    content = [random.bytes(10_000) for _ in range(5000)]
    table = pa.table({"image": content})
    pq.write_table(table, path, use_dictionary=False, write_batch_size=64)
    del table
    before = pa.total_allocated_bytes()
    found, held = [], []
    for value in tables.values(fs.LocalFileSystem(), str(path), 0, 4000, 100):
        found.append(value)
        held.append(pa.total_allocated_bytes() - before)
    assert found == content[4000:4100]
    assert max(held) < path.stat().st_size / 2


def test_a_row_group_that_would_be_read_over_and_over_is_refused(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each of its shards is read from the first row of the group."""
    monkeypatch.setattr(tables, "MOST_BYTES", 10_000)
    path = tmp_path / "a.parquet"
    rows = [{"bytes": file.read_bytes(), "path": None} for file in sorted(crops.iterdir())]
    pq.write_table(pa.table({"row": range(48), "image": rows}), path)
    with pytest.raises(LightferError, match="expected at most 10 rows or 10,000 bytes") as refused:
        labelled([path], tmp_path / "out")
    assert str(refused.value).startswith(f"{path}: row group 0 has 48 rows and ")
    assert str(refused.value).endswith("write the file with row_group_size=10")
    assert len(labelled([path], tmp_path / "whole", size=48)) == 48
    pq.write_table(pq.read_table(path), path, row_group_size=10)
    assert len(labelled([path], tmp_path / "out")) == 48
