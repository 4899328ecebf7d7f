"""What `labelling.py` sees in the parts of a killed run."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.labelling import check_equal, check_rows, draw_pictures
from PIL import Image

from benchmarks import labelling


def write_part(folder: Path, number: int, paths: Sequence[Path], errors: Sequence[str | None]):
    folder.mkdir(exist_ok=True)
    table = pa.table({"item": [*map(str, paths)], "error": [*errors]})
    pq.write_table(table, folder / f"part-{number:05}.parquet")


def test_lost_and_doubled_inputs_and_missing_reasons_are_seen(tmp_path: Path):
    pictures = [tmp_path / f"{i}.jpg" for i in range(4)]
    good, twice, silent = (tmp_path / name for name in ("good", "twice", "silent"))
    for folder in (good, twice, silent):
        write_part(folder, 0, pictures[:2], ["cut off" if folder != silent else None, None])
        write_part(folder, 1, pictures[2:], [None, None])
    check_rows(good, pictures)
    check_equal(good, good)
    with pytest.raises(AssertionError, match="one row"):
        check_rows(good, [*pictures, tmp_path / "4.jpg"])
    write_part(twice, 2, pictures[2:], [None, None])
    with pytest.raises(AssertionError, match="one row"):
        check_rows(twice, pictures)
    with pytest.raises(AssertionError, match="unusable"):
        check_rows(silent, pictures)
    with pytest.raises(AssertionError, match="part-00000"):
        check_equal(good, silent)


def test_an_executor_stands_beside_the_plain_loops_of_its_own_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The machine becomes half as fast after the first round."""
    loops, seconds = iter([200.0, 200.0, 100.0, 100.0]), iter([0.5, 4 / 3, 1.0])
    pictures = [tmp_path / f"{i}.jpg" for i in range(100)]
    monkeypatch.setattr(labelling, "plain", lambda _: 300.0)
    monkeypatch.setattr(labelling, "side_by_side", lambda _: next(loops))
    monkeypatch.setattr(labelling, "_label", lambda *_: next(seconds))
    monkeypatch.setattr(labelling, "check_rows", lambda *_: None)
    found = labelling.undisturbed(["pool"], pictures, tmp_path, rounds=3)
    assert found["plain_alone_pictures_per_s"] == 300
    assert found["plain_pictures_per_s"] == [200, 200, 100, 100]
    assert found["pool"]["of_plain_each"] == [0.5, 0.25, 0.5]
    assert found["pool"]["of_plain"] == 0.5


def test_pictures_differ_and_the_first_of_a_thousand_is_cut_off(tmp_path: Path):
    paths = draw_pictures(tmp_path / "pictures", 3)
    assert len({path.read_bytes() for path in paths}) == 3
    with pytest.raises(OSError, match="truncated"), Image.open(paths[0]) as picture:
        picture.load()
    with Image.open(paths[1]) as picture:
        assert picture.size == (96, 96)
