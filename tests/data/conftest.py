"""The real data, read once."""

from pathlib import Path

import pytest

from lightfer.data import Dataset, load


@pytest.fixture(scope="session")
def real(fer2013_dir: Path) -> Dataset:
    return load(fer2013_dir)
