"""Haar's finder on a real portrait and on pictures without a face."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightfer.data.crop import Box
from lightfer.data.finder import CASCADES, HaarFinder, _without_nested, default_finder

FACE = (215, 110)  # a point between the eyes and the nose of the astronaut


@pytest.fixture(scope="module")
def finder() -> HaarFinder:
    pytest.importorskip("cv2")
    return HaarFinder()


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


def contains(box: Box, x: float, y: float) -> bool:
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height


@pytest.mark.parametrize("factor", [0.5, 1, 4])
def test_one_face_in_a_portrait_of_any_size(finder, astronaut, factor: float):
    size = (round(512 * factor), round(512 * factor))
    (box,) = finder(grey(astronaut.resize(size)))
    assert contains(box, FACE[0] * factor, FACE[1] * factor)
    assert 80 < box.width / factor < 130


def test_several_faces_the_largest_first(finder, astronaut):
    group = Image.new("RGB", (900, 600), "grey")
    group.paste(astronaut, (0, 0))
    group.paste(astronaut.resize((256, 256)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), (560, 40))
    large, small = finder(grey(group))
    assert contains(large, *FACE)
    assert contains(small, 560 + 256 - FACE[0] / 2, 40 + FACE[1] / 2)


def test_a_close_up_that_fills_the_frame(finder, astronaut):
    close = astronaut.crop((175, 65, 275, 165)).resize((1000, 1000), Image.Resampling.BICUBIC)
    (box,) = finder(grey(close))
    assert box.width > 600
    assert contains(box, 400, 450)


@pytest.mark.parametrize("name", ["brick", "coffee", "moon", "page", "rocket", "noise", "blank"])
def test_no_face_where_there_is_none(finder, name: str):
    if name == "noise":
        picture = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    elif name == "blank":
        picture = np.full((300, 300), 128, np.uint8)
    else:
        data = pytest.importorskip("skimage.data")
        picture = grey(Image.fromarray(getattr(data, name)()))
    assert finder(picture) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (20, 20)])
def test_odd_sizes_have_no_face(finder, shape: tuple[int, int]):
    assert finder(np.full(shape, 100, np.uint8)) == []


def test_threads_find_what_one_finds(finder, astronaut):
    picture = grey(astronaut)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(finder, [picture] * 8))
    assert found == [finder(picture)] * 8


def test_a_box_within_a_larger_one_is_dropped():
    large, inside, beside = Box(0, 0, 100, 100), Box(20, 20, 30, 30), Box(90, 90, 50, 50)
    assert _without_nested([large, inside, beside]) == [large, beside]


BROKEN = {
    "a library is missing": "raise ImportError('libGL.so.1: cannot open shared object file')",
    "built for another NumPy": "raise AttributeError('_ARRAY_API not found')",
    "what pip left": "",
    "no data": "resize = CascadeClassifier = print",
    "a file is missing": "resize = CascadeClassifier = 1\nclass data: haarcascades = 'here/two/'",
    "version 5": "resize = print\nclass data: haarcascades = 'here/'",
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_opencv_that_cannot_be_used_is_as_none(how: str, tmp_path: Path, monkeypatch):
    """It was a traceback, at once or of every picture."""
    (tmp_path / "cv2.py").write_text(BROKEN[how].replace("here", str(tmp_path)))
    (tmp_path / "two").mkdir()
    for name in CASCADES:
        (tmp_path / f"haarcascade_frontalface_{name}.xml").touch()
    for name in CASCADES[:2]:
        (tmp_path / "two" / f"haarcascade_frontalface_{name}.xml").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "cv2", None)  # puts the true one back at the end
    del sys.modules["cv2"]
    assert default_finder() is None
