"""Finding faces. A finder is any callable of the protocol; the one here is OpenCV's Haar cascade.

A better detector is one more file with such a callable, given as `Predictor(..., finder=...)`. Its
boxes should frame the face as the cascade does (see `lightfer.data.crop`).
"""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lightfer.data.crop import Box
from lightfer.errors import one_line

INSTALL = 'pip install "lightfer[faces]" (opencv-python-headless 4.x)'

LONGEST_SIDE = 1024  # pixels; larger pictures are searched in a copy of this size
SMALLEST_FACE = 32  # pixels of that copy
STEP, NEIGHBOURS = 1.1, 4  # of sizes; how many overlapping hits make a face
CASCADES = ("alt2", "default", "alt")  # the first searches, the others help with close-ups

CLOSE_UP_SIDE = 192  # pixels to which a picture is shrunk to look for one large face
CLOSE_UP_FACE = 0.6  # of the side, at least
CLOSE_UP_STEP, CLOSE_UP_NEIGHBOURS = 1.03, 2
CLOSE_UP_BORDER = 0.25  # of the side, added all around as the cascade wants to see some background
CLOSE_UP_ASPECT = 1.5  # longer to shorter side, at most


class FaceFinder(Protocol):
    """Called from several threads at once."""

    def __call__(self, grey: np.ndarray) -> Iterable[Sequence[float]]:
        """uint8 (H, W) -> the boxes of its faces, the largest first; perhaps reaching outside.

        Rows of four numbers, as of an array, are boxes, too.
        """
        ...


_problems: list[str] = []  # the first of an OpenCV that is there: a later import's hides it


def import_opencv() -> Any:
    """The module `cv2`, or None where it is not installed or cannot be imported."""
    try:
        import cv2
    except Exception as error:  # of a library that is missing, of another NumPy
        absent = isinstance(error, ModuleNotFoundError) and error.name == "cv2"
        if not absent and not _problems:
            _problems.append(one_line(str(error)))
        return None
    _problems.clear()
    return cv2 if hasattr(cv2, "resize") else None  # a folder that pip left is a module, too


def no_opencv() -> str:
    """What to do where `import_opencv` gave None, and what is wrong with one that is there."""
    if not _problems:
        return INSTALL
    return (
        f"the one that is here cannot be imported ({_problems[0]:.200}): mend it, or reinstall "
        "opencv-python-headless 4.x"
    )


def cascade_files(cv2: Any) -> list[str]:
    """Files of `CASCADES`; none without OpenCV, or where it lacks one, as version 5 does."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        return []
    files = [f"{folder}haarcascade_frontalface_{name}.xml" for name in CASCADES]
    return files if all(Path(file).is_file() for file in files) else []


def default_finder() -> "HaarFinder | None":
    """The finder here, or None without OpenCV and its cascades."""
    finder = HaarFinder()
    return finder if finder.files else None


class HaarFinder:
    """Frontal faces by `haarcascade_frontalface_alt2`, then, if there is none, one close-up.

    A close-up is a roughly square picture that one face fills, as crops of other data sets are: it
    is searched at a small size with a border, more patiently and by three cascades. Measured on
    250 faces of FER2013's train split at 192x192: found in 90 %; in 180 textures and things: 1.
    """

    def __init__(self) -> None:
        self.cv2 = import_opencv()
        self.files = cascade_files(self.cv2)
        self._local = threading.local()  # a classifier serves one thread at a time

    def __call__(self, grey: np.ndarray) -> list[Box]:
        height, width = grey.shape
        shrunk = min(1.0, LONGEST_SIDE / max(height, width))
        found = self._hits(0, self._resized(grey, shrunk), STEP, NEIGHBOURS, SMALLEST_FACE)
        boxes = [Box(*(round(v / shrunk) for v in hit)) for hit in found]
        if not boxes and max(height, width) <= CLOSE_UP_ASPECT * min(height, width):
            boxes = self._close_up(grey)
        return _without_nested(sorted(boxes, key=lambda box: -box.width * box.height))

    def _close_up(self, grey: np.ndarray) -> list[Box]:
        shrunk = CLOSE_UP_SIDE / min(grey.shape)
        border = round(CLOSE_UP_BORDER * CLOSE_UP_SIDE)
        small = np.pad(self._resized(grey, shrunk), border, mode="edge")
        least = round(CLOSE_UP_FACE * CLOSE_UP_SIDE)
        for index in range(len(CASCADES)):
            hits = self._hits(index, small, CLOSE_UP_STEP, CLOSE_UP_NEIGHBOURS, least)
            if hits:
                x, y, width, height = max(hits, key=lambda hit: hit[2])
                values = (x - border, y - border, width, height)
                return [Box(*(round(value / shrunk) for value in values))]
        return []

    def _resized(self, grey: np.ndarray, factor: float) -> np.ndarray:
        if factor == 1:
            return grey
        size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
        return self.cv2.resize(grey, size, interpolation=self.cv2.INTER_AREA)

    def _hits(
        self, index: int, grey: np.ndarray, step: float, neighbours: int, least: int
    ) -> list[Box]:
        classifiers = self._local.__dict__.setdefault("classifiers", {})
        if index not in classifiers:
            classifiers[index] = self.cv2.CascadeClassifier(self.files[index])
        found = classifiers[index].detectMultiScale(grey, step, neighbours, minSize=(least, least))
        return [Box(*(int(value) for value in hit)) for hit in found]


def _without_nested(boxes: list[Box]) -> list[Box]:
    """Boxes, the largest first, without those whose middle lies in a larger one."""
    kept: list[Box] = []
    for box in boxes:
        x, y = box.x + box.width / 2, box.y + box.height / 2
        if not any(k.x <= x < k.x + k.width and k.y <= y < k.y + k.height for k in kept):
            kept.append(box)
    return kept
