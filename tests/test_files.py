"""Atomic writing: the reader's view is the oracle."""

import hashlib
from pathlib import Path

import pytest

from lightfer._files import atomic_path, sha256_of, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "results.json"
    write_text(path, "old")

    def stop_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_makes_folders_and_a_file_others_can_read(tmp_path: Path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "käse")
    assert path.read_bytes() == "käse".encode()
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_sha256_is_that_of_the_content(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"lightfer")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"lightfer").hexdigest()
