"""The real data, read once; a place where no cache can be written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightfer.data import Dataset, load


@pytest.fixture(scope="session")
def real(fer2013_dir: Path) -> Dataset:
    return load(fer2013_dir)


@pytest.fixture(scope="module")
def no_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Below a file there can be no folder."""
    path = tmp_path_factory.mktemp("no_cache") / "file"
    path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTFER_CACHE", str(path / "cache"))
        yield
