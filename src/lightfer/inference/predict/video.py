"""Frames of video files and cameras, and writing them, by OpenCV (the extra `faces`)."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, isnan, nan
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from PIL import Image

from lightfer._files import OutputError, atomic_path, is_utf8
from lightfer.data.finder import import_opencv, no_opencv
from lightfer.errors import ArgumentError

VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in "mp4 m4v mov avi mkv webm mpg mpeg wmv 3gp mts m2ts flv ogv".split()  # noqa: SIM905
)
MISSING_SHARE = 0.02  # of the frames that a header promises: some containers only estimate them
FALLBACK_RATE = 30.0  # frames per second of an annotated video whose source does not say
LEAST_RATE = 0.01  # of an annotated video: OpenCV cannot write what is slower
MOST_COPIES = 2000  # of a frame in an annotated video, where none follows for long, as in a fault
CAMERAS = 100  # larger numbers choose how OpenCV opens them, and those below 0 crash it
MOST_FRAMES_PER_S = 1000  # more is a header that says nothing


@dataclass(frozen=True)
class Item:
    """One picture to look at: `source` is what `open_picture` takes, None if there is an error."""

    name: str | int
    source: Any
    frame: int | None = None
    time_s: float | None = None
    rate: float | None = None  # of the frames of a video that are taken, per second
    error: str | None = None
    below: str = ""  # its path below the folder that was given, or its name


def frames(source: str | int, every: int = 1, below: str = "camera") -> Iterator[Item]:
    """Every `every`-th frame of a video file or of the camera with that number, then perhaps an
    error.
    """
    cv2 = import_opencv()
    item = Item(f"camera {source}" if isinstance(source, int) else source, None, below=below)
    if isinstance(source, int) and not 0 <= source < CAMERAS:
        yield replace(item, error=f"camera {source} is not there, expected a number from 0")
        return
    if cv2 is None:
        yield replace(item, error=f"videos and cameras need OpenCV: {no_opencv()}")
        return
    if isinstance(source, str) and not is_utf8(source):
        yield replace(item, error="its name is not UTF-8, which OpenCV needs of videos: rename it")
        return
    capture = _open(cv2, source)
    try:
        if not capture.isOpened():
            camera = f"camera {source} is not there or in use"
            video = "not a video that OpenCV can read"
            yield replace(item, error=camera if isinstance(source, int) else video)
            return
        yield from _read(cv2, capture, source, every, item)
    finally:
        capture.release()


def _open(cv2: Any, source: str | int) -> Any:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what goes wrong is said by us
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if isinstance(source, str):  # what stands before a colon would be a protocol: 12:30.mp4
        source = str(Path(source).absolute())
    return cv2.VideoCapture(source)


def _read(cv2: Any, capture: Any, source: str | int, every: int, item: Item) -> Iterator[Item]:
    stated = float(capture.get(cv2.CAP_PROP_FPS))
    rate = stated if 0 < stated < MOST_FRAMES_PER_S else None
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    step = 1 / rate if rate else nan
    index, at_s, begin_s = 0, -(step if rate else 1.0), 0.0
    while capture.grab():
        if isinstance(source, int):  # each system has another idea of a camera's position
            begin_s = begin_s or monotonic()
            position_s = monotonic() - begin_s
        else:
            position_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        at_s = position_s if at_s < position_s < inf else at_s + step
        if index % every == 0:
            there, pixels = capture.retrieve()
            if not there:
                break
            picture = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            time_s = None if isnan(at_s) else round(at_s, 3)
            at = {"frame": index, "time_s": time_s, "rate": rate / every if rate else None}
            yield replace(item, source=picture, **at)
        index += 1
    if isinstance(source, int):
        yield replace(item, error=f"the camera stopped after {index:,} frames")
    elif index == 0:
        yield replace(item, error="a video without a frame that can be read")
    elif promised - max(index, at_s * stated + 1) > max(1.0, promised * MISSING_SHARE):
        # Where the rate varies, some containers promise their length times the largest rate.
        broken = f"breaks off after {index:,} of {int(promised):,} frames; those were used"
        yield replace(item, error=broken)


class VideoWriter:
    """Pictures, all of the size of the first, to one video file; of those that say when they are
    shown, each is repeated until the next one's time.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, max(rate, LEAST_RATE)
        self.writer: Any = None
        self.frames, self.due, self.time_s, self.last = 0, 0.0, None, None
        self.cv2 = import_opencv()

    def write(self, picture: Image.Image, time_s: float | None = None) -> None:
        if self.writer is None:
            if not is_utf8(self.path):
                raise ArgumentError(f"{self.path.name}: OpenCV needs a name and folder in UTF-8")
            codec = "MJPG" if self.path.suffix.lower() == ".avi" else "mp4v"
            code = self.cv2.VideoWriter.fourcc(*codec)
            self.writer = self.cv2.VideoWriter(str(self.path), code, self.rate, picture.size)
            if not self.writer.isOpened():
                raise ArgumentError(
                    f"OpenCV cannot write {self.path.name}; use .mp4 or .avi, or free some space"
                )
        if time_s is not None and self.time_s is not None:
            self.due += min((time_s - self.time_s) * self.rate, MOST_COPIES)
            while self.frames < round(self.due):
                self._add(self.last)
        self.last, self.time_s = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]), time_s
        self._add(self.last)

    def _add(self, pixels: Any) -> None:
        self.writer.write(pixels)
        self.frames += 1

    def close(self) -> int:
        """End the file; returns how many of its frames can be read, as OpenCV tells no error."""
        if self.writer is None:
            return 0
        self.writer.release()
        capture, read = _open(self.cv2, str(self.path)), 0
        while capture.grab():
            read += 1
        capture.release()
        return read


@contextmanager
def video_writer(path: Path, rate: float, known: Collection[Path] = ()) -> Iterator[VideoWriter]:
    """A writer whose file appears under `path` when the block ends without error, but not where one
    of the files `known` is the same. Raises OutputError where it did not get all frames.
    """
    with atomic_path(path, known) as temporary:
        writer = VideoWriter(temporary, rate)
        yield writer
        if (read := writer.close()) < writer.frames:
            raise OutputError(
                f"{path} was not written: {read:,} of its {writer.frames:,} frames can be read, as "
                "where the disk is full; free some space, or choose another place"
            )
