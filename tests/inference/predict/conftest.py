"""A small shipped network in eager PyTorch, the synthetic faces as files."""

from pathlib import Path

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

    return exported(MODEL)
