"""A small shipped network in eager PyTorch, the synthetic faces as files."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lightfer.data import Dataset
from lightfer.inference.predict import Predictor

MODEL = "squeezenet1_0"


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return Predictor(MODEL, "pytorch", faces="never", threads=1)


@pytest.fixture(scope="session")
def crops(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 48 test faces as PNG files 00.png to 47.png."""
    folder = tmp_path_factory.mktemp("crops")
    for index, image in enumerate(faces["test"].images):
        Image.fromarray(image[0].numpy()).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture(scope="session")
def exported() -> Path:
    """The same network as ONNX, in the cache of the tests."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from lightfer.inference.predict.network import exported

    path = exported(MODEL)
    assert isinstance(path, Path)
    return path


@pytest.fixture
def with_closed(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a.png, and closed/ and shut.png, which this process may not look at. As root
    may, the system's answer is made up.
    """
    folder = tmp_path / "in"
    (folder / "closed").mkdir(parents=True)
    for name in ("a.png", "shut.png", "closed/b.png"):
        shutil.copy(crops / "00.png", folder / name)
    shut = (str(folder / "shut.png"), str(folder / "closed/b.png"))

    def refused(call: Callable, names: tuple[str, ...]) -> Callable:
        def called(path: Any = ".", *args: Any, **options: Any) -> Any:
            if str(path) in names:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return call(path, *args, **options)

        return called

    monkeypatch.setattr(os, "scandir", refused(os.scandir, (str(folder / "closed"),)))
    monkeypatch.setattr(os, "stat", refused(os.stat, shut))
    return folder
